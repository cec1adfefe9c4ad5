/**
 * Texts to ids with @huggingface/tokenizers, and what makes version 0.2.0 agree with the tokenizers library that bundles are made with.
 *
 * 1. BertNormalizer, lower case: the library lowers each character alone, so a capital sigma becomes σ also at the end of a word.
 *    JavaScript gives ς there.
 * 2. BertNormalizer, ideographs: those beyond U+FFFF are to stand alone as all others do. 0.2.0 looks at UTF-16 halves and does not see them.
 * 3. Whitespace: a word is made of the letters of every script. 0.2.0 knows those of ASCII.
 * 4. WordLevel: what the vocabulary does not hold is the unknown token. 0.2.0 looks for that token in another file.
 *
 * What is left: README.md, "Where the ids differ".
 */
import { Tokenizer } from '@huggingface/tokenizers';

const IDEOGRAPHS = /[\u{20000}-\u{2a6df}\u{2a700}-\u{2b73f}\u{2b740}-\u{2b81f}\u{2b920}-\u{2ceaf}\u{2f800}-\u{2fa1f}]/gu;
const WORD = String.raw`\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}`;
const WORDS = new RegExp(`[${WORD}]+|[^${WORD}\\p{White_Space}]+`, 'gu');

/**
 * Return a function from a text to its ids.
 * @param {object} form the content of tokenizer.json
 * @throws {Error} if it cannot be built
 */
export function loadTokenizer(form) {
  const tokenizer = new Tokenizer(form, { unk_token: form.model.unk_token });
  if (form.pre_tokenizer?.type === 'Whitespace') tokenizer.pre_tokenizer = (text) => text.match(WORDS) ?? [];
  const prepare = form.normalizer?.type === 'BertNormalizer' ? bertPreparation(form.normalizer) : (text) => text;
  return (text) => tokenizer.encode(prepare(text)).ids;
}

function bertPreparation({ lowercase, handle_chinese_chars: ideographs }) {
  return (text) => {
    const lowered = lowercase ? text.replaceAll('Σ', 'σ') : text;
    return ideographs ? lowered.replace(IDEOGRAPHS, ' $& ') : lowered;
  };
}
