/** Which part of a long text asks (docs/bundle.md, "The ask"). Places are in UTF-16 units, sizes in code points. */
import { codePoints } from '../text.js';

const LEAST_PARTED = 1200;
const LEAST_LINED = 3000;
const LEAST_AROUND = 800;
const LEAST_LABELLED = 300;
const MOST_GROWN = 3;
const LONGEST_CUE = 40;
const LONGEST_INSTRUCTION = 600;
const LONGEST_FIRST = 2500;

const GAP = /\n[ \t\r]*\n[ \t\r\n]*/g;
const ASK_LABEL =
  /^(?:(?:#{1,4} |\*\*)?(?:(?:user|my|the|final|current)[ _])?(?:question|query|task|instruction|instructions|request|problem|ask|q)(?: [0-9]{1,3})?(?:\*\*)?[ ]?:)/i;
const CONTEXT_LABEL =
  /^(?:(?:#{1,4} |\*\*|\[|\()?(?:context|document|documents|passage|passages|source|sources|reference|references|background|excerpt|excerpts|snippet|article|text|search results?|retrieved|knowledge|evidence|result|chunk|page|information|notes?)\b(?:[^\n:\ud800-\udfff]|[\ud800-\udbff][\udc00-\udfff]){0,60}[:\]\)]|\[[0-9]{1,3}\]|\([0-9]{1,3}\) |[0-9]{1,3}[.)] )/i;
const OPTION = /(?:^|\n)[ \t]*\(?[A-Ja-j1-9][.):][ \t]/g;
const OPTION_FIRST = /^(?:^|\n)[ \t]*\(?[A-Ja-j1-9][.):][ \t]/;
const MARK = /[?\uff1f\u061f](?=[ \t\n\r"')*\]\u201d\u2019]|$)|\uff1f/;
const INSTRUCTS =
  /^(?:(?:(?:please|now|then|first|kindly|just|finally|carefully|briefly),? )*(?:add|analyse|analyze|answer|arrange|assess|calculate|categorise|categorize|check|choose|classify|compare|complete|compose|compute|consider|continue|convert|correct|count|create|critique|debug|decide|define|demonstrate|derive|describe|design|determine|develop|discuss|draft|edit|estimate|evaluate|examine|explain|extract|fill|find|fix|format|generate|give|identify|implement|improve|infer|interpret|list|make|match|name|optimise|optimize|order|organise|organize|outline|paraphrase|parse|pick|plan|predict|prepare|produce|proofread|propose|prove|provide|rank|rate|read|recommend|refactor|rephrase|reply|respond|return|review|revise|rewrite|say|select|show|shorten|simplify|solve|sort|state|suggest|summarise|summarize|tell|test|transform|translate|turn|update|use|verify|write)\b)/i;
const WANTS =
  /\b(?:please|can you|could you|would you|will you|help me|tell me|show me|i need|i want|i would like|i'd like|let me know|how (?:do|can|should|would) (?:i|we))\b/i;
const PREFACE =
  /\b(?:context|passage|passages|document|documents|source|sources|excerpt|excerpts|information|snippet|snippets|search results|knowledge|background|references)\b/i;

/** The parts of a text that ask, `[start, end]` each, in order; null where all of it is to stay. */
export function findAsk(text) {
  const length = codePoints(text);
  if (length < LEAST_LABELLED) return null;
  const parts = paragraphs(text);
  if (length < LEAST_PARTED && !CONTEXT_LABEL.test(text.slice(...parts[0]))) return null;
  const spans = endThatAsks(text, parts);
  const [start, end] = spans ? spans.at(-1) : [0, text.length];
  if (size(text, [start, end]) >= LEAST_LINED && end >= parts.at(-1)[1]) {
    const inner = endThatAsks(text, linesOf(text, [start, end]));
    if (inner) return [...(spans ?? []).slice(0, -1), ...inner];
  }
  return spans;
}

const size = (text, [start, end]) => codePoints(text.slice(start, end));

function paragraphs(text) {
  const spans = [];
  let at = text.length - text.replace(/^[ \t\r\n]+/, '').length;
  for (const gap of text.matchAll(GAP)) {
    if (gap.index > at) spans.push([at, gap.index]);
    at = gap.index + gap[0].length;
  }
  if (at < text.length) spans.push([at, text.length]);
  return spans.length > 0 ? spans : [[0, text.length]];
}

function linesOf(text, [start, end]) {
  const spans = [];
  let at = start;
  for (const line of text.slice(start, end).split('\n')) {
    if (/[^ \t\r]/.test(line)) spans.push([at, at + line.length]);
    at += line.length + 1;
  }
  return spans;
}

function endThatAsks(text, parts) {
  if (parts.length < 2 || ASK_LABEL.test(text.slice(...parts[0]))) return null;
  let begin = lastLabel(text, parts);
  const labelled = begin !== null;
  if (!labelled) begin = tail(text, parts);
  const head = text.slice(...parts[0]);
  let spans;
  if (begin !== null && begin > 0) {
    spans = [[parts[begin][0], parts.at(-1)[1]]];
    if (!labelled && isInstruction(head)) spans.unshift(parts[0]);
  } else if (begin === null && asksFirst(head)) {
    spans = [parts[0]];
  } else {
    return null;
  }
  let around = 0;
  for (const part of parts) {
    around += size(text, part);
    for (const span of spans) {
      if (span[0] <= part[0] && part[0] < span[1]) around -= size(text, [part[0], Math.min(part[1], span[1])]);
    }
  }
  const named = labelled || parts.slice(0, 3).some((part) => CONTEXT_LABEL.test(text.slice(...part)));
  return around >= (named ? LEAST_LABELLED : LEAST_AROUND) ? spans : null;
}

function lastLabel(text, parts) {
  for (let place = parts.length - 1; place > 0; place -= 1) {
    if (ASK_LABEL.test(text.slice(...parts[place]))) {
      const behind = codePoints(text.slice(parts[place][0], parts.at(-1)[1]));
      return behind < codePoints(text.slice(0, parts[place][0])) ? place : null;
    }
  }
  return null;
}

function tail(text, parts) {
  let isAsked = false;
  let grown = 0;
  for (let place = parts.length - 1; place >= 0; place -= 1) {
    const content = text.slice(...parts[place]);
    if (startsContext(content)) return null;
    if (OPTION_FIRST.test(content)) {
      isAsked = true;
      continue;
    }
    if (codePoints(content) <= LONGEST_CUE && /:[ \t\r]*$/.test(content)) continue;
    if (isAsked || asks(content)) return place;
    grown += 1;
    if (grown >= MOST_GROWN) return null;
  }
  return null;
}

const startsContext = (content) => codePoints(content) >= LEAST_LABELLED && CONTEXT_LABEL.test(content) && !MARK.test(content);
const hasOptions = (content) => [...content.matchAll(OPTION)].length > 1;
const asks = (content) => MARK.test(content) || hasOptions(content) || INSTRUCTS.test(content) || WANTS.test(content);

function asksFirst(content) {
  return codePoints(content) <= (hasOptions(content) ? LONGEST_FIRST : LONGEST_INSTRUCTION) && asks(content);
}

function isInstruction(content) {
  const length = codePoints(content);
  if (length > LONGEST_INSTRUCTION || PREFACE.test(content)) return false;
  const ends = length <= LEAST_LABELLED && /[?:][ \t\r\n]*$/.test(content);
  return ends || INSTRUCTS.test(content) || WANTS.test(content);
}
