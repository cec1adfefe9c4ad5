/** Which of the two models can take a request (docs/bundle.md, "What the models take"): what its body needs, and the first of all rules. */
import { BundleError, ScoringError } from './errors.js';
import { MEDIA, partType } from './parts.js';

const UNSTATED_CONTEXT = 32768;
const ANSWER_TOKENS = 1024;
const UNIT = 60;
const PER = { letter: 20, digit: 60, mark: 45, byte: 40, run: 48 };
const IMAGE_TOKENS = 2000;
const MESSAGE_TOKENS = 8;
const MOST_NODES = 200_000;
const HARDLY_ANY = 200;
const DEEPEST = 8;
const LONGEST_TAG = 100;
const MOST_TAGS = 32;
const UNREADABLE = '?';
const BYTES_PER_TOKEN = { audio: 50, video: 50, file: 4 };
const SAID = ['text', 'refusal', 'thought', 'quote', 'message'];
const RESULTS = ['result', 'hosted_result'];
const MEDIA_NAMES = 'images?|pictures?|pics?|photos?|photographs?|screenshots?|attachments?|attached|pdfs?|audio|recordings?|videos?|clips?';
const SHOWN_NAMES = 'files?|documents?|pages?|charts?|figures?|diagrams?|tables?|above|here|there';
const NAMES = new RegExp(`(?<![a-z])(?:${MEDIA_NAMES})(?![a-z])`, 'i');
const POINTS = new RegExp(`(?<![a-z])(?:${MEDIA_NAMES}|${SHOWN_NAMES}|its?|this|that|these|those|they|them)(?![a-z])`, 'i');
const BLANKS_AROUND =
  /^[\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+|[\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+$/g;
const BLANK = /[\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]/g;

const isObject = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);
const isText = (value) => typeof value === 'string';
const typeOf = (part) => (isText(part.type) ? part.type : '');
const listOf = (value) => (Array.isArray(value) ? value : []);

/** Return the tokens of a text, in sixtieths. */
export function countUnits(text) {
  const rest = withoutRuns(text);
  const inRuns = text.length - rest.length;
  const letters = rest.length - rest.replace(/[A-Za-z \t\n\r]/g, '').length;
  const digits = rest.length - rest.replace(/[0-9]/g, '').length;
  const other = rest.replace(/[\x00-\x7f]/g, '');
  const marks = rest.length - other.length - letters - digits;
  return inRuns * PER.run + letters * PER.letter + digits * PER.digit + marks * PER.mark + Buffer.byteLength(other) * PER.byte;
}

/** Leave out runs of more than 32 characters of ASCII without a blank; a pattern without an end would overflow the stack on ten million of them. */
function withoutRuns(text) {
  const start = /[!-~]{33}/g;
  const kept = [];
  let at = 0;
  for (let run = start.exec(text); run !== null; run = start.exec(text)) {
    let end = start.lastIndex;
    while (end < text.length && text.charCodeAt(end) > 0x20 && text.charCodeAt(end) < 0x7f) end += 1;
    kept.push(text.slice(at, run.index));
    at = start.lastIndex = end;
  }
  return [...kept, text.slice(at)].join('');
}

/**
 * Return what a request needs, read from its body in any of the three forms; never throws on JSON.
 * @param {object} body
 */
export function needsOf(body) {
  const reading = new Reading();
  for (const name of ['system', 'instructions']) if (body[name] !== null && body[name] !== undefined) reading.content(body[name], 0);
  reading.messages(body.messages ?? body.input);
  const offered = [body.tools, body.functions].filter(isGiven);
  offered.forEach((tools) => reading.walk(tools));
  return {
    modalities: [...reading.modalities].sort(),
    tools: offered.length > 0 || reading.calls,
    json_schema: [body.response_format, body.output_format, body.text?.format, body.output_config?.format].some((form) => isObject(form) && form.type === 'json_schema'),
    answer_tokens: roomOf(body),
    languages: tagsOf(body, 'languages').map(codeOf),
    residency: tagsOf(body, 'residency'),
    ask_in_media: reading.askInMedia,
    prompt_tokens: reading.isSized ? Math.ceil((reading.units + reading.texts.reduce((sum, text) => sum + countUnits(text), 0)) / UNIT) : null,
  };
}

/** Whether tools are given: an empty list, an empty string, 0 and false are none. */
function isGiven(value) {
  if (Array.isArray(value)) return value.length > 0;
  return isObject(value) ? Object.keys(value).length > 0 : Boolean(value);
}

class Reading {
  modalities = new Set();
  texts = [];
  units = 0;
  calls = false;
  isSized = true;
  askInMedia = false;
  #nodes = 0;
  #isShown = false; // whether media stand anywhere so far,
  #isFresh = false; // or since the model's last answer,
  #signs = 0; // and how much the user said since.

  messages(messages) {
    if (isText(messages)) return void this.texts.push(messages);
    for (const message of listOf(messages)) {
      this.units += MESSAGE_TOKENS * UNIT;
      if (!isObject(message)) continue;
      const first = this.texts.length;
      const isMedia = this.#message(message);
      this.#isShown ||= isMedia;
      this.#isFresh ||= isMedia;
      if (isAnswer(message)) [this.#isFresh, this.#signs] = [false, 0];
      else if (isUser(message) && !isHandedOn(message)) this.askInMedia = this.#asksInMedia(this.texts.slice(first), isMedia);
      else if (isMedia && message.role !== 'assistant') this.askInMedia ||= this.#signs + signsOf(this.texts.slice(first)) < HARDLY_ANY;
    }
  }

  /** Whether a turn of the user's asks what stands in media: beside it with hardly any text, before it since the last answer, or further up where it names them. */
  #asksInMedia(texts, isMedia) {
    const signs = signsOf(texts);
    this.#signs += signs;
    if (signs >= HARDLY_ANY || !this.#isShown) return false;
    if (isMedia || (this.#isFresh && this.#signs < HARDLY_ANY)) return true;
    const said = texts.slice(0, HARDLY_ANY).map((text) => [...text].slice(0, 4 * HARDLY_ANY).join('')).join('\n');
    return (this.#isFresh ? POINTS : NAMES).test(said);
  }

  #message(message) {
    const name = typeOf(message);
    const kind = partType(name);
    if (['call', ...RESULTS, ...MEDIA].includes(kind)) return this.#part(message, 0);
    if (kind === null && name !== '' && (message.role ?? null) === null) return this.#unknown(message);
    const isMedia = this.content(message.content, 0);
    if (['tool', 'function'].includes(message.role)) this.calls = true;
    for (const called of [message.tool_calls, message.function_call]) {
      if (called === null || called === undefined) continue;
      this.calls = this.calls || isGiven(called);
      this.walk(called);
    }
    return isMedia;
  }

  content(content, depth) {
    if (isText(content)) return this.texts.push(content), false;
    if (isObject(content)) return this.#part(content, depth);
    let isMedia = false;
    for (const part of listOf(content)) {
      this.#nodes += 1;
      if (this.#nodes > MOST_NODES) {
        this.isSized = false;
        break;
      }
      isMedia = this.#part(part, depth) || isMedia;
    }
    return isMedia;
  }

  #part(part, depth) {
    if (isText(part)) return this.texts.push(part), false;
    if (!isObject(part) || depth > DEEPEST) return this.#unknown(part);
    const name = typeOf(part);
    const kind = partType(name) ?? (name === '' && isText(part.text) ? 'text' : null);
    if (MEDIA.includes(kind)) {
      this.modalities.add(kind);
      this.#media(kind, part);
      return true;
    }
    if (SAID.includes(kind)) return this.#text(part, depth);
    if (kind === 'call') {
      this.calls = true;
      this.walk(part);
      return false;
    }
    if (!RESULTS.includes(kind)) return this.#unknown(part);
    this.calls = true;
    return this.content(part.content ?? part.output, depth + 1);
  }

  #text(part, depth) {
    for (const text of [part.text, part.refusal, part.thinking, part.data]) if (isText(text)) this.texts.push(text);
    let isMedia = false;
    for (const inner of [part.content, part.summary]) {
      if (inner !== null && inner !== undefined) isMedia = this.content(inner, depth + 1) || isMedia;
    }
    return isMedia;
  }

  #unknown(part) {
    this.modalities.add('unknown');
    this.walk(part);
    return false;
  }

  #media(kind, part) {
    if (kind === 'image') return void (this.units += IMAGE_TOKENS * UNIT);
    if (kind === 'file' && isObject(part.source) && part.source.type === 'text' && isText(part.source.data)) return void this.texts.push(part.source.data);
    const size = bytesOf(part);
    if (size === null) this.isSized = false;
    else this.units += Math.ceil((size * UNIT) / BYTES_PER_TOKEN[kind]);
  }

  /** Count what stands in tools, calls and parts of unknown types. */
  walk(value) {
    const waiting = [value];
    while (waiting.length > 0) {
      const item = waiting.pop();
      this.#nodes += 1;
      if (this.#nodes > MOST_NODES) return void (this.isSized = false);
      this.units += UNIT;
      if (isText(item)) this.texts.push(item);
      else if (Array.isArray(item)) for (const part of item) waiting.push(part);
      else if (isObject(item)) {
        for (const [key, part] of Object.entries(item)) {
          this.texts.push(key);
          waiting.push(part);
        }
      }
    }
  }
}

/** Whether a message is a turn of the user's; items of a Responses input have a type and no role. */
function isUser(message) {
  const usual = ['', 'message'].includes(typeOf(message)) ? 'user' : null;
  return (Object.hasOwn(message, 'role') ? message.role : usual) === 'user';
}

/** Whether the model says something in a message, and calls nothing. */
function isAnswer({ role, content, tool_calls: calls, function_call: call }) {
  if (role !== 'assistant' || isGiven(calls) || isGiven(call)) return false;
  if (isText(content)) return content.replace(BLANK, '') !== '';
  const parts = listOf(content).slice(0, HARDLY_ANY);
  if (parts.some((part) => isObject(part) && partType(typeOf(part)) === 'call')) return false;
  return parts.map((part) => (isObject(part) ? part.text : part)).some((text) => isText(text) && text.replace(BLANK, '') !== '');
}

/** Whether a message holds what tools returned alone, as Anthropic's messages do. */
function isHandedOn(message) {
  const parts = listOf(message.content).slice(0, HARDLY_ANY);
  return parts.length > 0 && parts.every((part) => isObject(part) && RESULTS.includes(partType(typeOf(part))));
}

function signsOf(texts) {
  return texts.slice(0, HARDLY_ANY).reduce((sum, text) => sum + [...[...text].slice(0, 4 * HARDLY_ANY).join('').replace(BLANK, '')].length, 0);
}

/** The bytes of media whose content stands in the part; null where it is named only. */
function bytesOf(part) {
  for (const value of Object.values(part)) {
    for (const text of isObject(value) ? Object.values(value) : [value]) {
      if (isText(text) && text.startsWith('data:')) return Math.floor((lengthOf(text.includes(',') ? text.slice(text.indexOf(',') + 1) : '') * 3) / 4);
    }
  }
  for (const holder of [part, ...Object.values(part).filter(isObject)]) {
    for (const text of [holder.data, holder.file_data]) if (isText(text)) return Math.floor((lengthOf(text) * 3) / 4);
  }
  return null;
}

function lengthOf(text) {
  let length = 0;
  for (const _ of text) length += 1;
  return length;
}

function roomOf(body) {
  const rooms = [body.max_completion_tokens, body.max_output_tokens, body.max_tokens].filter((room) => Number.isInteger(room) && room >= 0);
  return rooms.length > 0 ? Math.max(...rooms.map((room) => Math.min(room, Number.MAX_SAFE_INTEGER))) : null;
}

function tagsOf(body, name) {
  const holders = [body, isObject(body.metadata) ? body.metadata : {}];
  return [...new Set(holders.flatMap((holder) => tagsIn(holder[name])))];
}

/** The tags that somebody demands, in lower case; null demands none. */
function tagsIn(value) {
  if (value === null || value === undefined) return [];
  const listed = isText(value) ? [value] : value;
  return Array.isArray(listed) && listed.length <= MOST_TAGS ? listed.map(tagOf) : [UNREADABLE];
}

const codeOf = (tag) => tag.split('-')[0];

function tagOf(tag) {
  const bare = isText(tag) ? tag.replace(BLANKS_AROUND, '') : '';
  return bare.length > 0 && [...bare].length <= LONGEST_TAG ? bare.toLowerCase() : UNREADABLE;
}

/**
 * Return which models can take a request, and why one cannot.
 * @param {object | null} eligibility of the policy
 * @param {object} needs of `needsOf`
 * @param {{ given?: number | null, counted?: number | null }} [tokens] the caller's count of the whole prompt; the tokenizer's
 * @returns {{ can_take: 'both' | 'cheap' | 'frontier' | 'neither', ineligible: string[] }}
 */
export function findTakers(eligibility, needs, { given = null, counted = null } = {}) {
  const stated = eligibility ?? { cheap: {}, frontier: {}, answer_tokens: ANSWER_TOKENS };
  const answer = needs.answer_tokens ?? stated.answer_tokens;
  const cheap = brokenBy(stated.cheap, UNSTATED_CONTEXT, []);
  const frontier = brokenBy(stated.frontier, Infinity, [...MEDIA, 'unknown']);
  const names = { '00': 'both', '01': 'cheap', 10: 'frontier', 11: 'neither' };
  return {
    can_take: names[`${Number(cheap.length > 0)}${Number(frontier.length > 0)}`],
    ineligible: [...cheap.map((rule) => `cheap.${rule}`), ...frontier.map((rule) => `frontier.${rule}`)],
  };

  function brokenBy(limits, unstated, known) {
    const left = (limits.context_tokens ?? unstated) - answer;
    const isLong = given !== null ? given > left : left !== Infinity && (needs.prompt_tokens === null || needs.prompt_tokens > left || 3 * (counted ?? 0) > 2 * left);
    const takes = limits.modalities ?? known;
    const tags = (limits.residency ?? []).map((tag) => tag.toLowerCase());
    return [
      ...(isLong ? ['context_window'] : []),
      ...needs.modalities.filter((kind) => !takes.includes(kind)).map((kind) => (kind === 'unknown' ? 'unknown_part' : kind)),
      ...(needs.tools && limits.tools === false ? ['tools'] : []),
      ...(needs.json_schema && limits.json_schema === false ? ['json_schema'] : []),
      ...(limits.languages && needs.languages.some((code) => !limits.languages.includes(code)) ? ['language'] : []),
      ...(needs.residency.some((tag) => !tags.includes(tag)) ? ['residency'] : []),
    ];
  }
}

/** The needs of a request: read from messages and tools, joined with what the caller says. */
export function joinedNeeds(messages, tools, told) {
  const read = needsOf({ messages, tools });
  if (told === null) return read;
  if (!isObject(told)) throw new ScoringError('needs must be an object or null');
  if ('prompt_tokens' in told) return told; // of needsOf: the body was read
  const both = (name, said) => [...new Set([...read[name], ...said])];
  return {
    ...read,
    modalities: both('modalities', told.modalities ?? []).sort(),
    languages: both('languages', tagsIn(told.languages).map(codeOf)),
    residency: both('residency', tagsIn(told.residency)),
    tools: read.tools || told.tools === true,
    json_schema: read.json_schema || told.json_schema === true,
    answer_tokens: told.answer_tokens ?? read.answer_tokens,
  };
}

const maybe = (rule, check) => ({ rule, check: (value) => value === null || check(value) });
const texts = (check) => (value) => Array.isArray(value) && value.every((each) => isText(each) && check(each));
export const LIMITS = {
  context_tokens: maybe('an integer of at least 1 or null', (value) => Number.isSafeInteger(value) && value >= 1),
  modalities: maybe('a list of text, image, audio, video and file, or null', texts((each) => ['text', ...MEDIA].includes(each))),
  tools: maybe('true, false or null', (value) => typeof value === 'boolean'),
  json_schema: maybe('true, false or null', (value) => typeof value === 'boolean'),
  languages: maybe('a list of codes in lower case or null', texts((each) => /^[a-z]{2,3}$/.test(each))),
  residency: maybe('a list of tags or null', texts((each) => /^\S(.{0,98}\S)?$/.test(each))),
};
export const ELIGIBILITY = {
  cheap: { rule: 'an object', check: isObject },
  frontier: { rule: 'an object', check: isObject },
  answer_tokens: { rule: 'an integer of at least 0', check: (value) => Number.isSafeInteger(value) && value >= 0 },
};

/** Return the policy's `eligibility`, checked, with its defaults. */
export function checkedEligibility(form) {
  if (form === null) return null;
  check(form, ELIGIBILITY, 'eligibility.');
  const whole = { cheap: {}, frontier: {}, answer_tokens: ANSWER_TOKENS, ...form };
  for (const side of ['cheap', 'frontier']) check(whole[side], LIMITS, `eligibility.${side}.`);
  return whole;
}

function check(form, fields, prefix) {
  for (const [field, value] of Object.entries(form)) {
    if (!Object.hasOwn(fields, field)) throw new BundleError(`policy.json: ${prefix}${field} is a field that this reader does not know. Ship the bundle again.`);
    if (!fields[field].check(value)) throw new BundleError(`policy.json: ${prefix}${field} must be ${fields[field].rule}. Ship the bundle again.`);
  }
}
