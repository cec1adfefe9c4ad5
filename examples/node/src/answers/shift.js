/** Facts that move: whether answers are still like those of training (docs/bundle.md, "Shift"). */
const HALF_A_DEVIATION = 0.5;
const MOST_DEVIATIONS = 4;
const MEMORY = 1000;
const LEAST = 200;
const EVERY = 50;
const BACK = 0.5;
const LEAST_MOVE = 0.1;

export class FactShift {
  /** Share of the judged facts that moved, at the last look; null before there were enough answers. */
  share = null;
  isStale = false;
  answers = 0;
  #total = 0;

  /**
   * @param {{ mean: number | null, sd: number | null, known: number }[]} facts of the training answers
   * @param {{ up_to: number | null, mean: (number | null)[], known: number[] }[]} bands of them by `p_cheap_fails`, perhaps none
   * @param {number | null} limit share beyond which the check no longer counts; null: it always does
   */
  constructor(facts, bands, limit) {
    Object.assign(this, { facts, bands, limit });
    this.expected = new Float64Array(facts.length);
    this.sums = new Float64Array(facts.length);
    this.counts = new Float64Array(facts.length);
  }

  /** Count the facts of an answer to a request of which the scorer says so much (NaN: not known), and look at their means from time to time. */
  add(values, pCheapFails) {
    const keep = 1 - 1 / MEMORY;
    const band = Number.isFinite(pCheapFails) ? this.bands.find(({ up_to: most }) => most === null || most === undefined || pCheapFails <= most) : undefined;
    this.facts.forEach(({ mean: whole, sd, known }, place) => {
      const mean = band?.mean[place] ?? whole;
      this.expected[place] = this.expected[place] * keep + (band?.known[place] ?? known);
      const isKnown = Number.isFinite(values[place]);
      const deviations = isKnown && mean !== null && sd > 0 ? (values[place] - mean) / sd : 0;
      this.sums[place] = this.sums[place] * keep + Math.max(-MOST_DEVIATIONS, Math.min(MOST_DEVIATIONS, deviations));
      this.counts[place] = this.counts[place] * keep + (isKnown ? 1 : 0);
    });
    this.#total = this.#total * keep + 1;
    this.answers += 1;
    if (this.answers >= LEAST && this.answers % EVERY === 0) this.#look();
  }

  #look() {
    const found = this.facts.map((fact, place) => this.#move(fact, place));
    const judged = found.filter((far) => far !== null);
    this.share = judged.length > 0 ? judged.filter((far) => far > 1).length / judged.length : null;
    if (this.share === null || this.limit === null) return;
    this.isStale = this.share > (this.isStale ? this.limit * BACK : this.limit);
  }

  /** How far a fact moved, in units of what is too far; null where it cannot be judged. */
  #move({ sd }, place) {
    const known = this.expected[place] / this.#total;
    const change = Math.abs(this.counts[place] / this.#total - known) / Math.max(LEAST_MOVE, HALF_A_DEVIATION * Math.sqrt(known * (1 - known)));
    const isJudged = this.counts[place] >= LEAST / 2 && sd > 0;
    if (!isJudged) return change > 1 ? change : null;
    return Math.max(change, Math.abs(this.sums[place] / this.counts[place]) / HALF_A_DEVIATION);
  }
}
