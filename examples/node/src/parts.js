/** What the parts of a request are called: one table of the types of OpenAI's chat and Responses and of Anthropic's messages. */
export const MEDIA = ['image', 'audio', 'video', 'file'];
/** Results that stand in `output`. */
export const OUTPUTS = new Set(['function_call_output', 'custom_tool_call_output']);
const NAMES = {
  image: 'image image_url input_image',
  audio: 'audio input_audio audio_url',
  video: 'video video_url input_video',
  file: 'file input_file document container_upload',
  text: 'text input_text output_text summary_text',
  refusal: 'refusal',
  thought: 'thinking redacted_thinking reasoning reasoning_text',
  quote: 'search_result',
  message: 'message',
  call: 'tool_use server_tool_use mcp_tool_use function_call custom_tool_call',
  result: ['tool_result mcp_tool_result', ...OUTPUTS].join(' '),
  hosted_result: 'web_search_tool_result code_execution_tool_result',
};
const TYPES = new Map(Object.entries(NAMES).flatMap(([kind, names]) => names.split(' ').map((name) => [name, kind])));

/** What a part is by the `type` that it bears; null where nobody knows. */
export const partType = (name) => TYPES.get(name) ?? null;
