/** From the text to token ids (docs/bundle.md, "From text to token ids"). */
import { parseJson } from './bundle.js';
import { BundleError, ScoringError } from './errors.js';
import { secondView, textView } from './text.js';
import { loadTokenizer } from './tokenizer.js';

/** White space as the specification lists it; JavaScript's own differs in U+001C to U+001F, U+0085 and U+FEFF. */
const BLANK = /^[\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]*$/;

/** Messages to the ids that the graph is given, with the count that the rule uses. */
export class RequestEncoder {
  constructor(manifest, tokenizerJson, learned) {
    const form = parseJson(tokenizerJson, 'tokenizer.json');
    try {
      this.idsOf = loadTokenizer(form);
    } catch (error) {
      throw new BundleError(`tokenizer.json cannot be loaded (${error.message}). Ship the bundle again.`);
    }
    this.maxChars = manifest.max_chars;
    this.view = manifest.text_view === 2 ? (messages) => secondView(messages, this.maxChars, learned) : (messages) => textView(messages, this.maxChars);
    this.maxTokens = manifest.max_tokens;
    this.taskIds = new Map(Object.entries(manifest.task_ids));
  }

  /**
   * @returns {{ ids: number[], informed: boolean, tokens: number, source: 'tokenizer' | 'estimate', truncated: boolean }}
   *   `informed`: the task's id stands before the text's
   * @throws {ScoringError} if the request is malformed or holds no text
   */
  encode(messages, task) {
    const { text, totalChars, length, cut, masked, question = null } = this.view(messages);
    const all = this.tokenize(text);
    if (all.length === 0 || BLANK.test(text)) throw new ScoringError('a request must hold some text to be scored: got none');
    const isShort = cut || masked.length > 0;
    const kept = headAndTail(all, this.maxTokens);
    const taskId = this.taskIds.get(task);
    return {
      ids: taskId === undefined ? kept : [taskId, ...kept],
      informed: taskId !== undefined,
      tokens: isShort ? halfToEven((all.length * totalChars) / Math.max(1, length)) : all.length,
      source: isShort ? 'estimate' : 'tokenizer',
      maskedShare: masked.reduce((sum, [, count]) => sum + count, 0) / Math.max(1, totalChars),
      question,
      truncated: cut || all.length > this.maxTokens,
    };
  }

  /** Return the ask that the numbers of a request are about; null where the view knows none. */
  questionOf(messages) {
    try {
      return this.view(messages).question ?? null;
    } catch (error) {
      if (error instanceof ScoringError) return null;
      throw error;
    }
  }

  /** Return the ids of an answer's text, which may be none. */
  encodeText(text) {
    return headAndTail(this.tokenize(textView(text, this.maxChars).text), this.maxTokens);
  }

  tokenize(text) {
    const ids = this.idsOf(text);
    if (!ids.every(Number.isInteger)) throw new ScoringError('the tokenizer has no id for a part of this text');
    return ids;
  }
}

/** The nearest integer, of two as near the even one. */
function halfToEven(value) {
  const whole = Math.floor(value);
  if (value - whole !== 0.5) return Math.round(value);
  return whole % 2 === 0 ? whole : whole + 1;
}

function headAndTail(ids, maxTokens) {
  if (ids.length <= maxTokens) return ids;
  const tail = Math.floor(maxTokens / 2);
  return [...ids.slice(0, maxTokens - tail), ...ids.slice(ids.length - tail)];
}
