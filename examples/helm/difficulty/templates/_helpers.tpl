{{- define "difficulty.name" -}}
{{ printf "%s-difficulty" .Release.Name | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "difficulty.labels" -}}
app.kubernetes.io/name: difficulty
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}
