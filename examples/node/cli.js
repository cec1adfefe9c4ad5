#!/usr/bin/env node
/** Exit codes: 0, 1 (a golden vector is not reproduced), 2 (bad input). */
import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { BundleError, Router, messagesOf, needsOf, toolsOf, verify } from './src/index.js';

const USAGE = `usage: node cli.js BUNDLE TEXT [--task TASK]     decide one request
       node cli.js BUNDLE --input FILE           decide each line of JSON lines: a request's body, or prompt; perhaps id, task, prompt_tokens, checked, held
       node cli.js BUNDLE --check FILE           judge the answer of each line of JSON lines: as above, and answer
       node cli.js BUNDLE --verify               check every hash and replay the golden vectors`;
const SHOWN = 10;

async function main() {
  const options = { task: { type: 'string' }, input: { type: 'string' }, check: { type: 'string' }, verify: { type: 'boolean' }, help: { type: 'boolean' } };
  const { values, positionals } = parseArgs({ options, allowPositionals: true });
  const [folder, text] = positionals;
  if (values.help) return say(USAGE);
  const asked = [text !== undefined, values.input !== undefined, values.check !== undefined, values.verify === true].filter(Boolean).length;
  if (positionals.length > 2 || folder === undefined || asked !== 1) throw new TypeError(`name a bundle, and one thing to do\n${USAGE}`);
  if (values.verify) return report(await verify(folder));
  const router = await Router.load(folder);
  if (text !== undefined) return say(JSON.stringify(await router.decide(text, { task: values.task })));
  return values.check === undefined ? eachLine(values.input, (row) => decide(router, row)) : eachLine(values.check, (row) => check(router, row));
}

async function eachLine(path, told) {
  let number = 0;
  for await (const line of createInterface({ input: createReadStream(path, 'utf8'), crlfDelay: Infinity })) {
    number += 1;
    if (line.trim() === '') continue;
    const row = parsed(line);
    say(JSON.stringify({ id: String(isName(row.id) ? row.id : number), ...(await told(row)) }));
  }
}

const isName = (id) => typeof id === 'number' || (typeof id === 'string' && id !== '');

/** A body of any of the three APIs; a task or a count that is none is left out, as it is in Python. */
function decide(router, row) {
  const body = { ...row, messages: row.messages ?? row.prompt ?? row.input ?? null };
  const known = {
    task: typeof row.task === 'string' && row.task !== '' ? row.task : null,
    tokens: Number.isInteger(row.prompt_tokens) && row.prompt_tokens >= 0 && row.prompt_tokens < 2 ** 63 ? row.prompt_tokens : null,
    tools: toolsOf(body),
    checked: row.checked !== false,
    held: row.held,
    needs: needsOf(body),
  };
  return router.decide(messagesOf(body), known);
}

function check(router, row) {
  return router.check({ ...row, messages: row.messages ?? row.prompt ?? null }, row.answer, { task: typeof row.task === 'string' ? row.task : null });
}

/** A line that is no object becomes a request without messages, which cannot be scored. */
function parsed(line) {
  try {
    return Object(JSON.parse(line));
  } catch {
    return {};
  }
}

function report({ bundle, files, golden, differences }) {
  say(`${bundle}: ${files} files match their hashes`);
  for (const difference of differences.slice(0, SHOWN)) say(`  ${difference}`);
  say(`${golden} golden vectors: ${differences.length === 0 ? 'all reproduced' : `${differences.length} differences`}`);
  if (differences.length > 0) process.exitCode = 1;
}

function say(line) {
  process.stdout.write(`${line}\n`);
}

try {
  await main();
} catch (error) {
  if (!(error instanceof BundleError) && !(error instanceof TypeError) && error.code === undefined) throw error;
  process.stderr.write(`error: ${error.message}\n`);
  process.exitCode = 2;
}
