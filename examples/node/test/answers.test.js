/** The facts of answers, on the vectors of the specification, docs/vectors/answers. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { FACTS, readFacts } from '../src/answers/facts.js';

const FOLDER = new URL('../../../docs/vectors/answers/', import.meta.url);
const { kinds, cases } = JSON.parse(readFileSync(new URL('texts.json', FOLDER), 'utf8'));

for (const { name, request, answer, facts } of cases) {
  test(`facts: ${name}`, () => {
    const values = readFacts({ text: request.messages[0].content }, read(answer));
    FACTS.forEach((fact, place) => {
      if (kinds.includes(fact.split('.')[0])) assertNear(values[place], facts[fact] === undefined ? 0 : facts[fact], fact);
    });
  });
}

function assertNear(value, expected, fact) {
  if (expected === null) return assert.ok(Number.isNaN(value), `${fact}: ${value}, not known`);
  assert.ok(Math.abs(value - expected) <= 1e-6 * Math.max(1, Math.abs(expected)), `${fact}: ${value}, not ${expected}`);
}

/** An answer as a column of traffic holds it. */
function read(answer) {
  if (!answer.startsWith('{"role"')) return { text: answer };
  const { content, finish_reason: finishReason, logprobs, others } = JSON.parse(answer);
  const values = logprobs?.content.map(({ logprob }) => logprob).filter(Number.isFinite);
  return { text: content, finishReason, logprobs: values, others };
}
