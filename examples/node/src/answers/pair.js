/** A request with its answer, cut to what is read, and what several kinds of fact need; each computed once. */
import { contentWords, cut, findStated, lower, placeNumbers, plainDigits, wordsOf } from './scan.js';
import { readSteps } from './steps.js';

export const ANSWER_CHARS = 4096;
export const QUESTION_CHARS = 8192;

export class Pair {
  #known = new Map();

  constructor(asked, answer) {
    this.asked = asked;
    this.answer = answer;
    this.question = plainDigits(cut(asked.text ?? '', QUESTION_CHARS));
    this.text = plainDigits(cut(answer.text ?? '', ANSWER_CHARS));
  }

  #once(name, compute) {
    if (!this.#known.has(name)) this.#known.set(name, compute());
    return this.#known.get(name);
  }

  get questionLower() {
    return this.#once('questionLower', () => lower(this.question));
  }

  get textLower() {
    return this.#once('textLower', () => lower(this.text));
  }

  get questionWords() {
    return this.#once('questionWords', () => wordsOf(this.questionLower));
  }

  get textWords() {
    return this.#once('textWords', () => wordsOf(this.textLower));
  }

  get questionNumbers() {
    return this.#once('questionNumbers', () => placeNumbers(this.question).map(({ value }) => value));
  }

  get textPlaces() {
    return this.#once('textPlaces', () => placeNumbers(this.text));
  }

  get textNumbers() {
    return this.#once('textNumbers', () => this.textPlaces.map(({ value }) => value));
  }

  get questionContent() {
    return this.#once('questionContent', () => contentWords(this.questionWords));
  }

  get textContent() {
    return this.#once('textContent', () => contentWords(this.textWords));
  }

  get stated() {
    return this.#once('stated', () => findStated(this.text, this.textLower, this.textPlaces));
  }

  get steps() {
    return this.#once('steps', () => readSteps(this.text));
  }
}
