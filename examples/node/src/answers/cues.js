/** Facts about words: doubt in the answer, and cues for an operation against the operations used (docs/answers.md, "cues"). */

const DOUBTS = {
  however: 'however',
  wait: 'wait',
  mistake: 'mistake mistakes mistaken mistakenly apologies apologize apologise apology typo typos incorrect incorrectly error errors erroneous',
  unclear: 'unclear ambiguous ambiguity insufficient missing not+clear not+specified not+given not+provided not+stated more+information',
  assume: 'assume assumed assumes assuming assumption assumptions',
  about: 'approximate approximately approximation approximated roughly round rounded rounding',
  no_match: 'closest not+listed not+among not+one none+of t+match not+match no+correct no+exact',
  guess: 'guess perhaps maybe might possibly probably likely seems seem appears appear',
  sorry: 'sorry cannot unable can+t not+able an+ai',
  impossible: 'impossible contradict contradicts contradiction contradictory contradicting inconsistent inconsistency not+possible make+sense negative+number',
  instead: 'actually instead recalculate recalculating reevaluate reconsider recheck in+fact re+evaluate re+check re+calculate s+try s+check s+re',
  therefore: 'therefore thus hence',
  certain: 'must+be clearly obviously definitely certainly',
  verify: 'verify verified verifying verification check checks checking confirm confirms confirmed confirming',
  but: 'but',
  because: 'since because',
  equation: 'equation equations denote denoted denotes',
};
const CUES = {
  plus: 'total altogether sum combined increase increased increases added more+than',
  minus: 'fewer less left remain remains remaining remainder difference lost lose loses gave spent minus discount discounts discounted decrease decreased decreases',
  times: 'twice times each every per double doubled doubles triple tripled triples dozen dozens pair pairs',
  divide: 'half split splits share shares shared divide divided divides average averages averaged quarter quarters third thirds equally',
  before: 'initial initially original originally start beginning before now ago will+be at+first',
  percent: 'percent percentage percentages',
  condition: 'if except only rest+of remaining',
};
const OPERATIONS = ['plus', 'minus', 'times', 'divide'];
export const NAMES = [
  ...Object.keys(DOUBTS).map((name) => `doubt_${name}`),
  'questions',
  'late_doubt',
  ...OPERATIONS.map((name) => `used_${name}`),
  ...Object.keys(CUES).map((name) => `asked_${name}`),
  ...OPERATIONS.map((name) => `missing_${name}`),
  ...OPERATIONS.map((name) => `unasked_${name}`),
  'reused_numbers',
  'operations_for_numbers',
  'question_sentences',
].map((name) => `cues.${name}`);
const N_OF_DOUBT = 11;
const LATE_WORDS = 40;
const PERCENT = 5;
const OPERATOR =
  /[-+/\u00f7\u2212\u2013](?<=[0-9) ].) ?\$?[0-9(]|[*\u00d7xX] ?\$?[0-9(]|\\(?:times|cdot|frac|dfrac|tfrac|div)(?![A-Za-z])/gu;
const OPERATION_OF = { '+': 0, '-': 1, '\u2212': 1, '\u2013': 1, '*': 2, '\u00d7': 2, x: 2, X: 2, '\\t': 2, '\\c': 2, '/': 3, '\u00f7': 3, '\\f': 3, '\\d': 3 };
const SENTENCE_END = /[.!?](?=[ \t\n\r\f\v]|$)/gu;

/** Words and pairs of words, each with the numbers of its groups. */
class Lexicon {
  #words = new Map();
  #pairs = new Map();

  constructor(groups) {
    this.size = Object.keys(groups).length;
    Object.values(groups).forEach((entries, number) => {
      for (const entry of entries.split(' ')) {
        const [first, second] = entry.split('+');
        if (second) this.#pairs.set(first, (this.#pairs.get(first) ?? new Map()).set(second, number));
        else this.#words.set(entry, [...(this.#words.get(entry) ?? []), number]);
      }
    });
  }

  count(words) {
    const counts = Array(this.size).fill(0);
    words.forEach((word, place) => {
      for (const number of this.#words.get(word) ?? []) counts[number] += 1;
      const number = this.#pairs.get(word)?.get(words[place + 1]);
      if (number !== undefined) counts[number] += 1;
    });
    return counts;
  }
}

const OF_DOUBTS = new Lexicon(DOUBTS);
const OF_CUES = new Lexicon(CUES);

export function readCues(pair) {
  const late = OF_DOUBTS.count(pair.textWords.slice(-LATE_WORDS)).slice(0, N_OF_DOUBT);
  const used = countOperations(pair.text);
  const asked = OF_CUES.count(pair.questionWords);
  asked[PERCENT] += pair.question.split('%').length - 1;
  return [
    ...OF_DOUBTS.count(pair.textWords).map(Math.log1p),
    Math.log1p(pair.text.split('?').length - 1),
    Number(late.some(Boolean)),
    ...used.map(Math.log1p),
    ...asked.map(Math.log1p),
    ...used.map((operations, number) => Number(asked[number] > 0 && !operations)),
    ...used.map((operations, number) => Number(!asked[number] && operations > 0)),
    Math.log1p(countReused(pair)),
    Math.log1p(used.reduce((sum, operations) => sum + operations, 0)) - Math.log1p(pair.questionNumbers.length),
    Math.log1p((pair.question.match(SENTENCE_END) ?? []).length),
  ];
}

function countOperations(text) {
  const counts = Array(OPERATIONS.length).fill(0);
  for (const found of text.match(OPERATOR) ?? []) counts[OPERATION_OF[found[0] === '\\' ? found.slice(0, 2) : found[0]]] += 1;
  return counts;
}

function countReused({ textNumbers, questionNumbers }) {
  const times = new Map();
  for (const number of textNumbers) times.set(number, (times.get(number) ?? 0) + 1);
  return [...new Set(questionNumbers)].reduce((sum, number) => sum + Math.max(0, (times.get(number) ?? 0) - 2), 0);
}
