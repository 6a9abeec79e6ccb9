// Calls of GearmaNode's worker: node_worker_calls.js HOST PORT. A line read changes what it can do.
const readline = require('readline');
const gearmanode = require('gearmanode');

const [host, port] = process.argv.slice(2);
const worker = gearmanode.worker({ host, port: Number(port) });
const upper = (job) => job.workComplete(job.payload.toString().toUpperCase());

const changes = {
  add: () => ['one', 'two', 'three'].forEach((name) => worker.addFunction(name, upper)),
  remove: () => worker.removeFunction('two'),
  reset: () => worker.resetAbilities(),
};

readline.createInterface({ input: process.stdin })
  .on('line', (change) => { changes[change](); console.log(change); })
  .on('close', () => worker.close());
