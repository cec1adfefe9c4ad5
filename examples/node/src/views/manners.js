/** What people write around an ask that is no part of it (docs/bundle.md, "Wordings"). Places are in UTF-16 units: what matches is ASCII. */

const LONGEST_WORDING = 240;
const MOST_WORDINGS = 8;
const wordsOf = (text) => new Set(text.split(' '));
const COURTEOUS = wordsOf(
  'afternoon apologies appreciate appreciated appreciation assist assistance assisting bother bothering cheers dear disturb' +
  ' disturbing evening excuse favor favour forward grateful gratefully gratitude greetings hello help helpful helping helps hey' +
  ' hi hiya hope hoping howdy kindness mind morning obliged pardon pleasure regards sincerely sorry support thank thanks thx' +
  ' welcome wondering',
);
const TELLING = wordsOf(
  'accurate accurately answer answering answers best breath brief briefly careful carefully choice concise concisely correct' +
  ' correctly detail detailed details exercise exercises explain explanation explanations final instruction instructions' +
  ' justification justify letter option precise precisely problem problems prompt query question questions reason reasoning' +
  ' replies reply request requests respond response responses short solution solutions solve step steps succinct succinctly task' +
  ' tasks think thinking thorough thoroughly thought thoughts time work working',
);
const LIGHT = wordsOf(
  'a able about above address advance after again ahead ai all also always am amazing an and another any anybody anyone are' +
  ' around as ask asked asking assistant at attempt attention awesome be been before being believe below bit bot both break busy' +
  ' but by can chance chatgpt check claude clear clearly come complete completely conclude conclusion consider consideration' +
  ' could day days deep do does doing don\'t double down each effort end enough every everybody everyone everything expert fine' +
  ' finish first folks follow following follows for friend friends from fully further get getting give given giving glad go going' +
  ' good gpt great greatly had hand happy has have having hear hearing here here\'s how i i\'d i\'ll i\'m i\'ve if in into is issue' +
  ' issues it it\'s its just keep kind kindly know let let\'s like line lines little long look looked looking lot lots lovely madam' +
  ' make makes many matter may me minute moment more most much must my need needed nice no not now of off ok okay on once one' +
  ' only or order other our out over own paragraph part patience place please pleased pls plz possible present provide provided' +
  ' put quick quickly quite read reading really right same say sense sentence sentences several should show showing single sir so' +
  ' some somebody someone something soon state stuck sure tackle take taking team tell than that that\'s the them then there' +
  ' there\'s these thing things this those thoughtful through to today together too trouble truly try trying two under understand' +
  ' understanding us use useful very want was way we we\'d we\'ll week weekend well were what when which while will with without' +
  ' wonderful word words would write writing wrong yes you you\'d you\'ll you\'re you\'ve your yours',
);
const FIRSTS = new Set([
  ...COURTEOUS,
  ...wordsOf(
    'address also always and answer any attempt be before below best break but can check claude complete consider could do don\'t' +
    ' double explain first follow give glad good great have here here\'s i i\'d i\'ll i\'m i\'ve in it it\'s just justify keep kind' +
    ' kindly let let\'s look looking make many may might most much my nice now ok okay please pleased pls plz present provide put' +
    ' quick quickly read really reason remember reply respond say see show so solve somebody someone state step tackle take then' +
    ' there think this to truly try use very we we\'d will with work would write yes you you\'d you\'ll you\'re you\'ve your yours',
  ),
]);
const SEPARATORS = ['. ', '! ', '? ', ': '];
const FIRST = /[A-Za-z\u2019']+/y;
const PLAIN = /^[a-z' \t\r\n.,;:!?"()*_~-]*$/;
const GREETING = /(?:hello|hi|hiya|hey|howdy|greetings|dear|good (?:morning|afternoon|evening|day))\b[^,.!?:\n]{0,40},/iy;
const QUERIES = /^(?:(?:what|which|who|whom|whose|how|why|when|where|is|are|do(?! not)|does|did|should)\b)/;
const AFTER_HELP = /^(?:(?:please |and |so |also )*(?:(?:can|could|would|will|may|might) (?:you|i|we|any|some)|how are you|how is it going|do you mind|mind |any (?:help|chance)|are you able))/;
const TELLS =
  /^(?:(?:(?:please|pls|plz|then|now|first|also|and|but|so|just|kindly|always|remember to|try to|be sure to|make sure to|make sure you|you should|you must|you can|you may|you will|you need to|you have to|i want you to|i need you to|i'd like you to|i would like you to|your task is to|your job is to|before you (?:answer|respond|reply)|before answering) )*(?:answer|respond|reply|think|reason|take (?:your|a|the|some) |be |keep |double check|check your|do your best|do not|don't|let's|let us|you are (?:a|an|the|given) |you(?: will|'ll) be (?:given|asked)|your (?:answer|response|reply)|break (?:it|this|the|down)|work (?:on|through|it|this|out|step|carefully)|(?:solve|do) (?:it|this) step|explain (?:your|each|every|step|all)|justify|show (?:your|all|each|every|me)|(?:write|put|state|say) (?:your|only|just|down)|i have (?:a|an|one|some|two|another) |here (?:is|are)|here's|this is|below (?:is|are)|(?:read|solve|complete|look at|attempt|tackle|address|follow|consider)\b.*\b(?:tasks?|problems?|questions?|exercises?|requests?|instructions?|prompt|query|follow(?:s|ing)|below)\b|(?:give|provide|present|make)\b.*\b(?:answers?|responses?|reply|solutions?|reasoning|explanations?|justification|steps?|thoughts|letter|option|choice)\b))/;
const ODD_LETTER = /\n(?!A\. )[ \t]*(?:[-*+] )?\(?[Aa][.):][ \t]/;
const LETTER = /\n[ \t]*(?:[-*+] )?\(?([A-Ja-j])[.):][ \t]+/g;

const isBlank = (text, at) => ' \t\r\n'.includes(text[at]);

/** The sentences of courtesy and manner at the ends of a text, in order: `[start, end, kind]`. */
export function findWordings(text, { head = true, tail = true } = {}) {
  const first = head ? atHead(text) : [];
  const last = tail ? atTail(text, first.at(-1)?.[1] ?? 0) : [];
  return [...first, ...last.reverse()];
}

function atHead(text) {
  const found = [];
  let at = 0;
  while (found.length < MOST_WORDINGS) {
    while (at < text.length && isBlank(text, at)) at += 1;
    if (!begins(text, at)) break;
    const most = at + LONGEST_WORDING;
    const line = firstOf(text, '\n', at, most);
    const places = SEPARATORS.map((sign) => firstOf(text, sign, at, line < 0 ? most : line + 1)).filter((place) => place >= 0);
    let end = (places.length > 0 ? Math.min(...places) : line >= 0 ? line : text.length - 1) + 1;
    let kind = end <= most ? kindOf(text.slice(at, end)) : '';
    if (!kind) {
      GREETING.lastIndex = at;
      const greeting = GREETING.exec(text);
      if (!greeting || !kindOf(greeting[0])) break;
      kind = 'courtesy';
      end = at + greeting[0].length;
    }
    found.push([at, end, kind]);
    at = end;
  }
  return found;
}

function atTail(text, begin) {
  const found = [];
  let end = text.length;
  while (found.length < MOST_WORDINGS) {
    while (end > begin && isBlank(text, end - 1)) end -= 1;
    const least = Math.max(begin, end - LONGEST_WORDING);
    const line = lastOf(text, '\n', least, end);
    const place = Math.max(line, ...SEPARATORS.map((sign) => lastOf(text, sign, Math.max(line, least), end)));
    if (place < 0 && least > begin) break;
    let at = place < 0 ? begin : place + 1;
    while (at < end && isBlank(text, at)) at += 1;
    const kind = begins(text, at) ? kindOf(text.slice(at, end)) : '';
    if (!kind) break;
    found.push([at, end, kind]);
    end = at;
  }
  return found;
}

/** The first place of a sign that stands between two places; -1 for none. */
function firstOf(text, sign, from, to) {
  const place = text.slice(from, to).indexOf(sign);
  return place < 0 ? -1 : from + place;
}

function lastOf(text, sign, from, to) {
  const place = text.slice(from, Math.max(from, to)).lastIndexOf(sign);
  return place < 0 ? -1 : from + place;
}

function begins(text, at) {
  FIRST.lastIndex = at;
  const word = FIRST.exec(text);
  return word !== null && FIRSTS.has(word[0].replaceAll('\u2019', "'").toLowerCase());
}

function kindOf(sentence) {
  const small = sentence.replaceAll('\u2019', "'").toLowerCase();
  if (!small.includes(' ') && !COURTEOUS.has(small.replace(/^[.:,!\n]+|[.:,!\n]+$/g, ''))) return '';
  if (!PLAIN.test(small)) return '';
  const words = small.match(/[a-z']+/g);
  if (!words || !words.every((word) => COURTEOUS.has(word) || TELLING.has(word) || LIGHT.has(word))) return '';
  const said = words.join(' ');
  const courteous = words.some((word) => COURTEOUS.has(word)) ? 'courtesy' : '';
  if (small.includes('?') || QUERIES.test(said)) return AFTER_HELP.test(said) ? courteous : '';
  if (courteous) return courteous;
  return words.some((word) => TELLING.has(word)) && TELLS.test(said) ? 'manner' : '';
}

/** A text whose options have their letters as `A.`. */
export function withPlainLetters(text) {
  if (!ODD_LETTER.test(text)) return text;
  const parts = [];
  let at = 0;
  for (const run of runsOf([...text.matchAll(LETTER)])) {
    for (const option of run) {
      parts.push(text.slice(at, option.index), `\n${option[1].toUpperCase()}. `);
      at = option.index + option[0].length;
    }
  }
  return parts.join('') + text.slice(at);
}

function runsOf(found) {
  const runs = [];
  let run = [];
  for (const option of [...found, null]) {
    const letter = option ? option[1].toUpperCase() : '';
    if (run.length > 0 && letter !== String.fromCharCode(65 + run.length)) {
      if (run.length > 1) runs.push(run);
      run = [];
    }
    if (option && letter === String.fromCharCode(65 + run.length)) run.push(option);
  }
  return runs;
}
