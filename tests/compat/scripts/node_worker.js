// A worker: node_worker.js HOST PORT PREFIX. Works until it is killed.
const gearmanode = require('gearmanode');

const [host, port, prefix] = process.argv.slice(2);
const worker = gearmanode.worker({ host, port: Number(port), withUnique: true });

worker.setWorkerId(prefix + 'worker');

worker.addFunction(prefix + 'reverse', (job) => {
  job.workComplete(job.payload.toString().split('').reverse().join(''));
});

worker.addFunction(prefix + 'report', (job) => {
  job.sendWorkData('one');
  job.sendWorkData('two');
  job.reportWarning('careful');
  job.reportStatus(1, 2);
  job.workComplete('done');
});

worker.addFunction(prefix + 'fail', (job) => job.reportError());
worker.addFunction(prefix + 'raise', (job) => job.reportException('boom'));
worker.addFunction(prefix + 'unique', (job) => job.workComplete(job.unique));
worker.addFunction(prefix + 'hang', () => {});
worker.addFunction(prefix + 'slow', () => {}, { timeout: 1000 });

worker.on('error', (error) => {
  console.error(error.message);
  process.exit(1);
});
