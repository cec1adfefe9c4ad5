#!/usr/bin/env bash
# Posts $PAGE as the comment of $TITLE on pull request $PULL of $REPOSITORY, or changes it; needs gh.
set -euo pipefail
: "${PAGE:?}" "${TITLE:?}" "${PULL:?this is no pull request}" "${REPOSITORY:?}"
marker="<!-- difficulty: $TITLE -->"
body=$(mktemp)
{
  printf '%s\n## %s\n\n' "$marker" "$TITLE"
  # A comment holds 65,536 characters.
  head -c 60000 "$PAGE"
  if [ "$(wc -c < "$PAGE")" -gt 60000 ]; then printf '\n\n... the rest is in %s\n' "$PAGE"; fi
} > "$body"
comments="repos/$REPOSITORY/issues/$PULL/comments"
known=$(gh api --paginate "$comments" --jq ".[] | select(.body | startswith(\"$marker\")) | .id" | head -n 1)
if [ -n "$known" ]; then
  gh api --method PATCH "repos/$REPOSITORY/issues/comments/$known" -F "body=@$body" > /dev/null
else
  gh api --method POST "$comments" -F "body=@$body" > /dev/null
fi
