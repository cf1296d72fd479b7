// Drives server.py with the unmodified official JavaScript SDK: node test_with_js_sdk.mjs BASE
// The SDK is looked for beside this file: tests/stores/gemini.rs copies it to where install.sh has put that.
import assert from 'node:assert/strict';
import { GoogleGenAI } from '@google/genai';

const base = process.argv[2];
const ai = new GoogleGenAI({ apiKey: process.env.FAKE_API_KEY ?? 'test-key', httpOptions: { baseUrl: base } });
const store = await ai.fileSearchStores.create({ config: { displayName: 'JS store' } });
assert.match(store.name, /^fileSearchStores\/js-store-[a-z0-9]{12}$/);

let op = await ai.fileSearchStores.uploadToFileSearchStore({
  fileSearchStoreName: store.name,
  file: new Blob(['js text about whales'], { type: 'text/plain' }),
  config: { displayName: 'js.txt', mimeType: 'text/plain', customMetadata: [{ key: 'a', stringValue: 'b' }] },
});
for (let n = 0; !op.done && n < 20; n++) op = await ai.operations.get({ operation: op });
assert.equal(op.done, true);

const documents = [];
for await (const d of await ai.fileSearchStores.documents.list({ parent: store.name })) documents.push(d);
assert.deepEqual(documents.map(d => [d.name, d.displayName, d.state, d.customMetadata]),
  [[op.response.documentName, 'js.txt', 'STATE_ACTIVE', [{ key: 'a', stringValue: 'b' }]]]);

const answer = await ai.models.generateContent({
  model: 'gemini-2.5-flash', contents: 'whales?',
  config: { tools: [{ fileSearch: { fileSearchStoreNames: [store.name] } }] },
});
assert.equal(answer.text, 'js text about whales');
assert.equal(answer.candidates[0].groundingMetadata.groundingChunks[0].retrievedContext.title, 'js.txt');

await ai.fileSearchStores.documents.delete({ name: op.response.documentName, config: { force: true } });
await ai.fileSearchStores.delete({ name: store.name });
await assert.rejects(ai.fileSearchStores.get({ name: store.name }), error => error.status === 403);
console.log('ok');
