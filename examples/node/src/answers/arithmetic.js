/** Facts about worked maths (docs/answers.md, "arithmetic"). */

export const NAMES = [
  'steps', 'wrong_steps', 'any_wrong', 'share_wrong', 'last_is_wrong', 'largest_error', 'share_not_whole', 'final_is_last', 'final_is_result',
  'negative_result', 'result_not_whole', 'no_step', 'share_new_operands', 'hand_score',
].map((name) => `arithmetic.${name}`);

export function readArithmetic(pair) {
  const { steps } = pair;
  const final = pair.stated.number;
  const wrong = steps.filter(({ isRight }) => !isRight);
  const results = steps.map(({ value }) => value);
  return [
    Math.log1p(steps.length),
    Math.log1p(wrong.length),
    Number(wrong.length > 0),
    wrong.length / Math.max(1, steps.length),
    Number(steps.length > 0 && !steps.at(-1).isRight),
    Math.log1p(wrong.reduce((most, { error }) => Math.max(most, Math.min(error, 1e6)), 0)),
    steps.filter(({ isWhole }) => !isWhole).length / Math.max(1, steps.length),
    Number(steps.length > 0 && isSame(results.at(-1), final)),
    Number(results.some((result) => isSame(result, final))),
    Number(results.some((result) => result < 0)),
    Number(results.some((result) => result % 1 !== 0)),
    Number(!steps.length),
    shareOfNewOperands(steps, pair.questionNumbers),
    handScore(pair),
  ];
}

/** How doubtful worked maths is by rules that know no label; NaN without a step. */
export function handScore(pair) {
  const { steps } = pair;
  if (!steps.length) return NaN;
  const final = pair.stated.number;
  const given = new Set(pair.questionNumbers);
  const used = new Set(pair.textNumbers);
  const unused = [...given].filter((number) => !used.has(number)).length;
  const doubts = [
    0.6 * Number(steps.some(({ isRight }) => !isRight)),
    0.6 * Number(!isSame(steps.at(-1).value, final)),
    0.4 * (unused / Math.max(1, given.size)),
    0.4 * shareOfNewOperands(steps, pair.questionNumbers),
    0.3 * Number(final !== null && final % 1 !== 0),
    0.3 * Number(steps.some(({ value }) => value < 0) || (final !== null && final < 0)),
  ];
  return 1 - doubts.reduce((trust, doubt) => trust * (1 - doubt), 1);
}

function shareOfNewOperands(steps, given) {
  const known = new Set(given);
  let fresh = 0;
  let all = 0;
  for (const { operands, value } of steps) {
    all += operands.length;
    fresh += operands.filter((operand) => !known.has(operand) && !known.has(Math.floor(operand * 1e8 + 0.5) / 1e6)).length;
    known.add(value);
  }
  return fresh / Math.max(1, all);
}

const isSame = (result, final) => final !== null && Math.abs(result - final) < 1e-6;
