/** Which part of a long text asks (docs/bundle.md, "The ask"). Places are in UTF-16 units, sizes in code points. */
import { codePoints, head as headOf, tail as tailOf } from '../text.js';

const LEAST_PARTED = 1200;
const LEAST_LINED = 3000;
const LEAST_AROUND = 800;
const LEAST_LABELLED = 300;
const MOST_GROWN = 3;
const LONGEST_CUE = 40;
const LONGEST_INSTRUCTION = 600;
const LONGEST_FIRST = 2500;
const END_OF_PART = 300;

const GAP = /\n[ \t\r]*\n[ \t\r\n]*/g;
const ASK_LABEL =
  /^(?:(?:#{1,4} |\*\*)?(?:(?:user|my|the|final|current)[ _])?(?:question|query|task|instruction|instructions|request|problem|ask|q)(?: [0-9]{1,3})?(?:\*\*)?[ ]?:)/i;
const CONTEXT_LABEL =
  /^(?:(?:#{1,4} |\*\*|\[|\()?(?:context|document|documents|passage|passages|source|sources|reference|references|background|excerpt|excerpts|snippet|article|text|search results?|retrieved|knowledge|evidence|result|chunk|page|information|notes?)\b(?:[^\n:\ud800-\udfff]|[\ud800-\udbff][\udc00-\udfff]){0,60}[:\]\)]|\[[0-9]{1,3}\]|\([0-9]{1,3}\) |[0-9]{1,3}[.)] )/i;
const OPTION = /(?:^|\n)[ \t]*\(?[A-Ja-j1-9][.):][ \t]/g;
const OPTION_FIRST = /^(?:^|\n)[ \t]*\(?[A-Ja-j1-9][.):][ \t]/;
const MARK = /[?\uff1f\u061f](?=[ \t\n\r"')*\]\u201d\u2019]|$)|\uff1f/;
const INSTRUCTS =
  /^(?:(?:(?:please|now|then|first|kindly|just|finally|carefully|briefly),? )*(?:adapt|add|add up|adjust|analyse|analyze|answer|apply|arrange|ask|assess|assign|book|brainstorm|build|buy|calculate|call|cancel|categorise|categorize|check|choose|classify|clean|collect|combine|compare|complete|compose|compute|configure|connect|consider|continue|contrast|convert|copy|correct|count|create|criticise|criticize|critique|debug|decide|decode|define|delete|demonstrate|deploy|derive|describe|design|detect|determine|develop|discuss|display|divide|download|draft|draw|edit|elaborate|encode|estimate|evaluate|examine|execute|expand|explain|export|extract|fetch|fill|filter|find|fix|follow|forecast|format|generate|get|give|guess|help|highlight|identify|implement|import|improve|infer|insert|install|interpret|invent|investigate|join|justify|list|load|locate|look|look up|make|match|measure|merge|move|multiply|name|open|optimise|optimize|order|organise|organize|outline|paint|paraphrase|parse|perform|pick|plan|play|plot|post|practise|predict|prepare|print|proceed|produce|proofread|propose|prove|provide|pull|query|quote|rank|rate|read|recall|recommend|reduce|refactor|remind|remove|rename|rephrase|replace|reply|reschedule|research|reserve|reset|respond|restate|retrieve|return|review|revise|rework|rewrite|run|save|say|scan|schedule|search|select|send|set a|set up|share|shorten|show|simplify|simulate|sketch|solve|sort|speak|spell|split|start a|state|submit|substitute|suggest|sum up|summarise|summarize|swap|take|teach|tell|test|track|train|transform|translate|trim|turn|update|use|validate|verify|visit|visualise|visualize|watch|write)\b)/i;
const QUESTION =
  /^(?:(?:and |so |but |then |also )?(?:what|which|who|whom|whose|how (?:many|much|long|far|old|often|big|tall|fast|do|does|did|can|could|would|is|are|to)|(?:why|where|when) (?:is|are|was|were|do|does|did|can|will|would|should))\b)/i;
const THEN =
  /[,;] (?:and |then |please )*(?:(?:calculate|compute|determine|estimate|evaluate|explain|find|solve)|how (?:many|much|long|far|old|often)|what (?:is|are|was|were|will|would))\b/i;
const SENTENCE_END = /[.!?:] +|\n/g;
const WANTS =
  /\b(?:please|can you|could you|would you|will you|help me|tell me|show me|i need|i want|i would like|i'd like|let me know|how (?:do|can|should|would) (?:i|we))\b/i;
const PREFACE =
  /\b(?:context|passage|passages|document|documents|source|sources|excerpt|excerpts|information|snippet|snippets|search results|knowledge|background|references)\b/i;

/** The parts of a text that ask, `[start, end]` each, in order; null where all of it is to stay. */
export function findAsk(text) {
  const length = codePoints(text);
  if (length < LEAST_LABELLED) return null;
  if (length < LEAST_PARTED && !CONTEXT_LABEL.test(text.replace(/^[ \t\r\n]+/, ''))) return null;
  const parts = paragraphs(text);
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
    if (isAsked) return place;
    if (endsAsk(content)) return place === 0 ? null : place;
    grown += 1;
    if (grown >= MOST_GROWN) return null;
  }
  return null;
}

const startsContext = (content) => codePoints(content) >= LEAST_LABELLED && CONTEXT_LABEL.test(content) && !MARK.test(content);
const hasOptions = (content) => [...content.matchAll(OPTION)].length > 1;
const opens = (content) => INSTRUCTS.test(content) || QUESTION.test(content);

function endsAsk(content) {
  const length = codePoints(content);
  if (length <= LONGEST_INSTRUCTION) return asks(content);
  if (hasOptions(content)) return true;
  const end = tailOf(content, END_OF_PART);
  return length > LONGEST_FIRST ? MARK.test(end) : asks(`${headOf(content, END_OF_PART)}\n${end}`);
}

/** Whether a text asks something, as far as its words show. */
export function asks(content) {
  return MARK.test(content) || hasOptions(content) || opens(content) || WANTS.test(content) || lastSentenceAsks(content);
}

function lastSentenceAsks(content) {
  const stripped = content.replace(/[ \t\r\n]+$/, '');
  const last = tailOf(stripped, LONGEST_INSTRUCTION);
  const ends = [...last.matchAll(SENTENCE_END)].map((found) => found.index + found[0].length);
  const at = ends.length > 0 ? stripped.length - last.length + ends.at(-1) : 0;
  return opens(content.slice(at)) || THEN.test(last.slice(ends.at(-1) ?? 0));
}

function asksFirst(content) {
  return codePoints(content) <= (hasOptions(content) ? LONGEST_FIRST : LONGEST_INSTRUCTION) && asks(content);
}

function isInstruction(content) {
  const length = codePoints(content);
  if (length > LONGEST_INSTRUCTION || PREFACE.test(content)) return false;
  const ends = length <= LEAST_LABELLED && /[?:][ \t\r\n]*$/.test(content);
  return ends || INSTRUCTS.test(content) || WANTS.test(content);
}
