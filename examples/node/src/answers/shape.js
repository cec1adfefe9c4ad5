/** Facts about length, end, repetition, markup, copying, probabilities and further choices (docs/answers.md, "shape"). */
import { ANSWER_CHARS } from './pair.js';
import { codePoints, count, cut, findStated, head, isAscii, LETTERS, lower, placeNumbers, plainDigits, shared, SPACE, strip, stripEnd, wordsOf } from './scan.js';

export const NAMES = [
  ...[
    'characters', 'words', 'lines', 'numbers', 'equals', 'relative', 'question_characters', 'is_empty', 'sentences', 'word_length', 'is_short', 'no_end',
    'ends_in_digit', 'ends_in_operator', 'open_round', 'open_square', 'open_curly', 'open_quote', 'open_fence', 'open_dollar', 'open_angle', 'space_after',
    'space_before', 'cut_by_limit', 'different_words', 'richness', 'most_repeated', 'share_repeated', 'share_repeated_lines', 'longest_run', 'other_letters',
    'other_letters_gap', 'east_asian_gap', 'code', 'list_items', 'bold', 'latex', 'step_words',
  ].map((name) => `shape.${name}`),
  ...[
    'share_from_question', 'share_of_question', 'share_of_numbers', 'unused_numbers', 'share_new_numbers', 'question_numbers', 'share_of_names', 'names',
    'repeats_question', 'unused_small_number', 'asks_for_share', 'has_share',
  ].map((name) => `copying.${name}`),
  ...['mean', 'least', 'lowest_tenth', 'spread', 'share_unsure', 'first', 'tokens', 'choices', 'share_same_answer', 'overlap'].map((name) => `logprobs.${name}`),
];
const SENTENCE_END = /[.!?](?=[ \t\n\r\f\v]|$)/gu;
const ITEM = /^(?:[-*]|[0-9]+\.)[ \t]/u;
const LETTER = new RegExp(`[${LETTERS}]`, 'gu');
const OTHER_LETTER = new RegExp(`[${LETTERS.slice('A-Za-z'.length)}]`, 'gu');
const MOST_TOKENS = 4096;
const MOST_OTHERS = 8;
const LIMITS = ['length', 'max_tokens'];
const STOPS = ['stop', 'tool_calls', 'function_call', 'end_turn', 'stop_sequence'];

export function readShape(pair) {
  const lines = pair.text.split('\n').map(strip).filter(Boolean);
  return [
    ...readLength(pair),
    ...readEnd(pair.text),
    readLimit(pair.answer.finishReason),
    ...readRepetition(pair, lines),
    ...readMarkup(pair, lines),
    ...readCopying(pair),
    ...readProbabilities(pair.answer.logprobs ?? []),
    ...readAgreement(pair),
  ];
}

function readLength({ text, question, textWords: words, textNumbers }) {
  const length = Math.log1p(codePoints(text));
  const asked = Math.log1p(codePoints(question));
  const stripped = codePoints(strip(text));
  return [
    length,
    Math.log1p(words.length),
    Math.log1p(count(text, '\n')),
    Math.log1p(textNumbers.length),
    Math.log1p(count(text, '=')),
    length - asked,
    asked,
    Number(!stripped),
    Math.log1p((text.match(SENTENCE_END) ?? []).length),
    words.reduce((sum, word) => sum + word.length, 0) / Math.max(1, words.length),
    Number(stripped < 4),
  ];
}

function readEnd(text) {
  const stripped = stripEnd(text);
  const last = stripped.at(-1) ?? '';
  const isOneOf = (marks) => last !== '' && marks.includes(last);
  const gap = (open, close) => Math.log1p(Math.abs(count(text, open) - count(text, close)));
  return [
    Number(!isOneOf('.!?)}]"\'`0123456789')),
    Number(isOneOf('0123456789')),
    Number(isOneOf('+-*/=,:(')),
    gap('(', ')'),
    gap('[', ']'),
    gap('{', '}'),
    count(text, '"') % 2,
    count(text, '```') % 2,
    count(text, '$') % 2,
    Number(count(text, '<<') !== count(text, '>>')),
    Number(text.length !== stripped.length),
    Number(text !== '' && SPACE.includes(text[0])),
  ];
}

function readLimit(finishReason) {
  if (LIMITS.includes(finishReason)) return 1;
  return STOPS.includes(finishReason) ? 0 : NaN;
}

function readRepetition({ text, textWords: words }, lines) {
  const different = new Set(words).size;
  const times = new Map();
  let most = 0;
  for (let place = 0; place + 4 <= words.length; place += 1) {
    const four = words.slice(place, place + 4).join(' ');
    times.set(four, (times.get(four) ?? 0) + 1);
    most = Math.max(most, times.get(four));
  }
  const longest = text.split(/[ \t\n\r\f\v]/u).reduce((length, run) => Math.max(length, codePoints(run)), 0);
  return [
    different / Math.max(1, words.length),
    different / Math.max(1, words.length) ** 0.7,
    Math.log1p(most),
    words.length >= 4 ? 1 - times.size / (words.length - 3) : 0,
    lines.length ? 1 - new Set(lines).size / lines.length : 0,
    Math.log1p(longest),
  ];
}

function readMarkup({ text, question, textWords }, lines) {
  const share = shareOfOtherLetters(text);
  const isEastAsian = (written) => Number(/[\u3040-\u9fff\uac00-\ud7af]/u.test(written));
  return [
    share,
    share - shareOfOtherLetters(question),
    isEastAsian(text) - isEastAsian(question),
    Number(text.includes('```') || text.includes('def ')),
    Math.log1p(lines.filter((line) => ITEM.test(line)).length),
    Math.log1p(count(text, '**')),
    Math.log1p(count(text, '\\')),
    Math.log1p(textWords.filter((word) => word === 'step').length),
  ];
}

function shareOfOtherLetters(text) {
  if (isAscii(text)) return 0;
  return (text.match(OTHER_LETTER) ?? []).length / Math.max(1, (text.match(LETTER) ?? []).length);
}

function readCopying(pair) {
  const asked = pair.questionContent;
  const answered = pair.textContent;
  const common = shared(asked, answered);
  const given = new Set(pair.questionNumbers);
  const used = new Set(pair.textNumbers);
  const unused = [...given].filter((number) => !used.has(number));
  const names = new Set(pair.question.match(/[A-Z](?<=[a-z,] [A-Z])[a-z]+/gu));
  return [
    common / Math.max(1, answered.size),
    common / Math.max(1, asked.size),
    shared(given, used) / Math.max(1, given.size),
    Math.log1p(unused.length),
    [...used].filter((number) => !given.has(number)).length / Math.max(1, used.size),
    Math.log1p(given.size),
    shared(names, new Set(pair.text.match(/[A-Z][a-z]+/gu))) / Math.max(1, names.size),
    Math.log1p(names.size),
    Number(repeatsQuestion(pair)),
    Number(unused.some((number) => number === 1 || number === 2 || number === 3)),
    Number(/half|twice|third|percent|%/u.test(pair.question)),
    Number(/half|twice|third|percent|%|\/2|\* ?2/u.test(pair.text)),
  ];
}

function repeatsQuestion({ textLower, questionLower }) {
  const opening = head(strip(textLower), 60);
  return codePoints(opening) === 60 && questionLower.replace(/[ \t\n\r\f\v]+/gu, ' ').includes(opening);
}

function readProbabilities(logprobs) {
  const values = logprobs.slice(0, MOST_TOKENS).map((value) => Math.min(0, Math.max(-20, value)));
  if (!values.length) return Array(7).fill(NaN);
  const mean = average(values);
  const lowest = [...values].sort((one, other) => one - other).slice(0, Math.ceil(values.length / 10));
  return [
    mean,
    lowest[0],
    average(lowest),
    Math.sqrt(average(values.map((value) => (value - mean) ** 2))),
    values.filter((value) => value < Math.log(0.5)).length / values.length,
    values[0],
    Math.log1p(values.length),
  ];
}

const average = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

function readAgreement({ stated, textWords, answer }) {
  const others = (answer.others ?? []).slice(0, MOST_OTHERS).map((text) => plainDigits(cut(text, ANSWER_CHARS)));
  if (!others.length) return Array(3).fill(NaN);
  const same = others.filter((text) => isSame(stated, findStated(text, lower(text), placeNumbers(text))));
  const words = new Set(textWords);
  return [Math.log1p(others.length), same.length / others.length, average(others.map((text) => overlap(words, new Set(wordsOf(lower(text))))))];
}

function isSame(one, other) {
  if (one.number !== null && other.number !== null) return one.number === other.number;
  return lower(one.text) === lower(other.text);
}

function overlap(one, other) {
  const all = new Set([...one, ...other]).size;
  return all ? shared(one, other) / all : 1;
}
