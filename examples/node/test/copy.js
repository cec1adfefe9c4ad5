/** A copy of the saved bundle to damage, and to seal again as one who knows the format would. */
import { createHash } from 'node:crypto';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const SAVED = fileURLToPath(new URL('../../../tests/data/bundle-format-1-1', import.meta.url));
const ZEROS = '0'.repeat(64);

export const hash = (bytes) => createHash('sha256').update(bytes).digest('hex');

export class Copy {
  constructor() {
    this.scratch = mkdtempSync(join(tmpdir(), 'bundle-'));
    this.folder = join(this.scratch, 'copy-1');
    cpSync(SAVED, this.folder, { recursive: true });
  }

  path(name) {
    return join(this.folder, name);
  }

  readForm(name) {
    return JSON.parse(readFileSync(this.path(name), 'utf8'));
  }

  /** Write a manifest with a valid seal. */
  writeManifest(form) {
    const open = `${JSON.stringify({ ...form, sha256: ZEROS }, null, 2)}\n`;
    writeFileSync(this.path('manifest.json'), open.replace(`"${ZEROS}"\n}`, `"${hash(open)}"\n}`));
  }

  /** Replace a file and its entry in the manifest. */
  replace(name, content) {
    const manifest = this.readForm('manifest.json');
    writeFileSync(this.path(name), content);
    const bytes = readFileSync(this.path(name));
    this.writeManifest({ ...manifest, files: { ...manifest.files, [name]: { sha256: hash(bytes), bytes: bytes.length } } });
  }

  remove() {
    rmSync(this.scratch, { recursive: true });
  }
}
