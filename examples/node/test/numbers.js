/** Reads JSON lines of `{ messages, tools }` from standard input; writes the numbers of each, null where there are none. */
import { createInterface } from 'node:readline';
import { readNumbers } from '../src/numbers.js';

for await (const line of createInterface({ input: process.stdin, crlfDelay: Infinity })) {
  const { messages, tools } = JSON.parse(line);
  const numbers = readNumbers(messages, tools);
  process.stdout.write(`${JSON.stringify(numbers && [...numbers])}\n`);
}
