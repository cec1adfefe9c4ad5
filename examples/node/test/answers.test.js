/** The facts of answers, on the vectors of the specification, docs/vectors/answers. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { answerOf, asText, parseAnswer } from '../src/answers/answer.js';
import { askedOf } from '../src/answers/asked.js';
import { FACTS, readFacts } from '../src/answers/facts.js';

const FOLDER = new URL('../../../docs/vectors/answers/', import.meta.url);

for (const file of readdirSync(FOLDER)) {
  const { kinds, cases } = JSON.parse(readFileSync(new URL(file, FOLDER), 'utf8'));
  for (const { name, request, answer, facts } of cases) {
    test(`facts, ${file}: ${name}`, () => {
      const values = readFacts(askedOf(request.messages, request.tools), parseAnswer(answer));
      FACTS.forEach((fact, place) => {
        if (kinds.includes(fact.split('.')[0])) assertNear(values[place], facts[fact] === undefined ? 0 : facts[fact], fact);
      });
    });
  }
}

function assertNear(value, expected, fact) {
  if (expected === null) return assert.ok(Number.isNaN(value), `${fact}: ${value}, not known`);
  assert.ok(Math.abs(value - expected) <= 1e-6 * Math.max(1, Math.abs(expected)), `${fact}: ${value}, not ${expected}`);
}

test('an answer is read from a completion', () => {
  const message = { content: [{ type: 'text', text: 'It ' }, { text: 'rains.' }], tool_calls: [{ function: { name: 'f', arguments: { x: 'é' } } }, 'junk'] };
  const logprobs = { content: [{ logprob: -0.5 }, { logprob: null }, 7] };
  const answer = answerOf({ choices: [{ message, finish_reason: 'stop', logprobs }, { message: { refusal: 'No.' } }] });
  assert.deepEqual(answer, {
    text: 'It rains.',
    toolCalls: [{ name: 'f', arguments: '{"x":"é"}' }, { name: '', arguments: '' }],
    finishReason: 'stop',
    refusal: null,
    logprobs: [-0.5],
    others: ['No.'],
  });
  assert.equal(asText(answer), 'It rains.\nf({"x":"é"})\n()');
});

for (const response of [null, {}, { choices: [] }, { choices: 'text' }, { choices: [null] }, { choices: [{ message: { content: 7, tool_calls: 'no', refusal: 3 } }] }]) {
  test(`an answer without what it should have is empty: ${JSON.stringify(response)}`, () => {
    assert.deepEqual(answerOf(response), { text: '', toolCalls: [], finishReason: null, refusal: null, logprobs: null, others: [] });
  });
}
