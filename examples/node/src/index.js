export { readBundle } from './bundle.js';
export { messagesOf, toolsOf } from './bodies.js';
export { needsOf } from './eligibility.js';
export { BundleError } from './errors.js';
export { verify } from './golden.js';
export { Router } from './router.js';
