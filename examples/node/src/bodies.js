/** The messages and the tools of a request's body, whichever API it was written for (docs/bundle.md, "From a body to messages"). */
import { OUTPUTS, partType } from './parts.js';
import { argumentsText, isObject } from './text.js';

const TEXTS = new Set(['document', 'search_result']);

/**
 * @param {object} body of OpenAI's chat completions or Responses, or of Anthropic's messages
 * @returns {unknown} messages as a chat has them, instructions first; what is no list as it came; null where there are none
 */
export function messagesOf(body) {
  const asked = body.messages ?? body.input ?? null;
  const told = [body.system, body.instructions].filter((each) => (typeof each === 'string' && each !== '') || (Array.isArray(each) && each.length > 0));
  const listed = typeof asked === 'string' && told.length > 0 ? [{ role: 'user', content: asked }] : asked;
  if (!Array.isArray(listed)) return listed;
  return [...told.map((content) => ({ role: 'system', content })), ...listed.flatMap((message) => (isOther(message) ? moved(message) : [message]))];
}

/**
 * @param {object} body
 * @returns {unknown} the tools that it offers, each with a `name` or a `function`; what is no list as it came
 */
export function toolsOf(body) {
  const tools = [body.tools, isObject(body.toolConfig) ? body.toolConfig.tools : null, body.functions].find(offers) ?? null;
  return Array.isArray(tools) ? tools.flatMap(usual) : tools;
}

const offers = (tools) => (typeof tools === 'object' && tools !== null ? Object.keys(tools).length > 0 : Boolean(tools));
const kindOf = (form) => (isObject(form) && typeof form.type === 'string' ? form.type : '');
const isCall = (block) => partType(kindOf(block)) === 'call';
const isResult = (block) => partType(kindOf(block)) === 'result';
const isItem = (message) => (message.role ?? null) === null && !['', 'message'].includes(kindOf(message));

function isOther(message) {
  if (!isObject(message)) return false;
  if (isItem(message)) return true;
  return Array.isArray(message.content) && message.content.some((block) => isCall(block) || isResult(block) || TEXTS.has(kindOf(block)));
}

function moved(message) {
  if (isItem(message)) return partType(kindOf(message)) === 'thought' ? [] : ofBlocks({ role: 'user' }, [message]);
  if (message.role === 'tool' || message.role === 'function') return [{ ...message, content: message.content.map(withText) }];
  return ofBlocks(message, message.content);
}

/** One message for each run of blocks that a message of a chat can hold. */
function ofBlocks({ tool_calls: own = null, ...beside }, blocks) {
  const messages = [];
  let [content, calls] = [[], []];
  const flush = () => {
    if (content.length > 0) messages.push({ ...beside, content });
    if (calls.length > 0) messages.push({ role: 'assistant', content: null, tool_calls: calls });
    [content, calls] = [[], []];
  };
  for (const block of blocks) {
    if ((calls.length > 0 && !isCall(block)) || (content.length > 0 && (isCall(block) || isResult(block)))) flush();
    if (isCall(block)) calls.push(callOf(block));
    else if (isResult(block)) messages.push(resultOf(block));
    else content.push(withText(block));
  }
  flush();
  if (own !== null) messages.push({ role: 'assistant', content: null, tool_calls: own });
  return messages;
}

function callOf(block) {
  const called = { name: block.name ?? null, arguments: block.arguments ?? block.input ?? null };
  const id = [block.call_id, block.id].find((each) => typeof each === 'string' && each !== '') ?? null;
  return { id, type: 'function', function: called };
}

function resultOf(block) {
  const said = (OUTPUTS.has(block.type) ? block.output : block.content) ?? null;
  const content = Array.isArray(said) ? said.map(withText) : said === null || typeof said === 'string' ? said : argumentsText(said);
  const id = [block.tool_call_id, block.tool_use_id, block.call_id].find((each) => typeof each === 'string') ?? null;
  const further = Object.fromEntries(['name', 'is_error'].filter((key) => Object.hasOwn(block, key)).map((key) => [key, block[key]]));
  return { role: 'tool', tool_call_id: id, content, ...further };
}

/** A block whose text stands somewhere else as a block of text; others as they are. */
function withText(block) {
  const kind = kindOf(block);
  if (kind === 'document' && isObject(block.source) && block.source.type === 'text') return { type: 'text', text: block.source.data ?? null };
  if (kind !== 'search_result' || !Array.isArray(block.content)) return block;
  const texts = block.content.map((each) => (isObject(each) ? each.text : null)).filter((text) => typeof text === 'string' && text !== '');
  return { type: 'text', text: texts.join('\n') };
}

/** What a tool offers to call. */
function usual(tool) {
  if (!isObject(tool) || Object.hasOwn(tool, 'function') || Object.hasOwn(tool, 'name')) return [tool];
  const declared = [tool.functionDeclarations, tool.function_declarations].find(Array.isArray) ?? [];
  if (declared.length > 0) return declared;
  if (isObject(tool.custom)) return [tool.custom];
  if (!isObject(tool.toolSpec)) return [tool];
  const schema = isObject(tool.toolSpec.inputSchema) ? tool.toolSpec.inputSchema.json : null;
  return [{ ...tool.toolSpec, parameters: schema ?? null }];
}
