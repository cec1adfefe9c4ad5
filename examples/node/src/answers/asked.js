/** What a request asks: the user's text, the system's, all others', and the tools; what is malformed counts as not given. */
import { isObject, lines, messageText, textView } from '../text.js';

const MOST_CHARS = 8192;

/**
 * @param {string | object[]} messages a string is one user message
 * @param {unknown} tools those of the request's body
 * @returns {{ text: string, system: string, context: string, tools: object[] }} `text` and `context`: head and tail of what is long
 */
export function askedOf(messages, tools) {
  const texts = { user: [], system: [], other: [] };
  if (typeof messages === 'string') texts.user.push(messages);
  for (const message of Array.isArray(messages) ? messages : []) {
    if (!isObject(message) || typeof message.role !== 'string') continue;
    const role = message.role === 'developer' ? 'system' : message.role;
    texts[role === 'user' || role === 'system' ? role : 'other'].push(textOf(message));
  }
  return {
    text: textView(lines(texts.user), MOST_CHARS).text,
    system: lines(texts.system),
    context: textView(lines(texts.other), MOST_CHARS).text,
    tools: Array.isArray(tools) ? tools.filter(isObject) : [],
  };
}

function textOf(message) {
  try {
    return messageText(message);
  } catch {
    return '';
  }
}
