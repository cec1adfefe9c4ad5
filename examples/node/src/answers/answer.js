/** What a model answered, read from responses and traffic columns; what is malformed counts as not given (docs/answers.md). */
import { isObject, lines, messageText } from '../text.js';

/**
 * An answer: `text`, `toolCalls` (`{ name, arguments }`, the arguments as text), `finishReason`, `refusal`, `logprobs`, `others`.
 * @param {unknown} response an OpenAI chat completion; without a choice, an empty answer
 */
export function answerOf(response) {
  const choices = isObject(response) && Array.isArray(response.choices) ? response.choices : [];
  if (!isObject(choices[0])) return ofChoice({}, []);
  return ofChoice(choices[0], choices.slice(1).map((choice) => asText(ofChoice(choice, []))));
}

/** What a column of traffic holds: plain text, or the JSON text of an assistant message. */
export function parseAnswer(text) {
  const message = readMessage(text);
  if (message === null) return { ...ofChoice({}, []), text };
  const others = Array.isArray(message.others) ? message.others.filter((other) => typeof other === 'string') : [];
  return ofChoice({ ...message, message }, others);
}

/** All that was answered as one text: the content, the refusal, and each call on a line of its own. */
export function asText({ text, refusal, toolCalls }) {
  return lines([text, refusal ?? '', ...toolCalls.map((call) => `${call.name}(${call.arguments})`)]);
}

function ofChoice(choice, others) {
  const { message, finish_reason: finishReason, logprobs } = isObject(choice) ? choice : {};
  const { content, tool_calls: toolCalls, refusal } = isObject(message) ? message : {};
  return {
    text: contentText(content),
    toolCalls: Array.isArray(toolCalls) ? toolCalls.map(toolCallOf) : [],
    finishReason: finishReason ?? null,
    refusal: typeof refusal === 'string' ? refusal : null,
    logprobs: readLogprobs(logprobs),
    others,
  };
}

function readMessage(text) {
  if (!(text.startsWith('{') && text.includes('"role"'))) return null;
  try {
    const message = JSON.parse(text);
    return message.role === 'assistant' ? message : null;
  } catch {
    return null;
  }
}

function contentText(content) {
  if (typeof content === 'string') return content;
  if (!Array.isArray(content)) return '';
  return content.map((part) => (isObject(part) && typeof part.text === 'string' ? part.text : '')).join('');
}

function toolCallOf(call) {
  const called = isObject(call) && isObject(call.function) ? call.function : {};
  const name = typeof called.name === 'string' ? called.name : '';
  const written = messageText({ tool_calls: [{ function: { name: '', arguments: called.arguments } }] });
  return { name, arguments: written.slice(1, -1) }; // as the text view writes them, which puts parentheses around
}

function readLogprobs(logprobs) {
  const { content, token_logprobs: tokenLogprobs } = isObject(logprobs) ? logprobs : {};
  const listed = Array.isArray(content) ? content.map((token) => (isObject(token) ? token.logprob : null)) : tokenLogprobs;
  const known = Array.isArray(listed) ? listed.filter(Number.isFinite) : [];
  return known.length > 0 ? known : null;
}
