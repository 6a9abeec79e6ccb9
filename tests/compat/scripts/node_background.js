// node_background.js HOST PORT FUNCTION UNIQUE PRIORITY PAYLOAD submits a background job and prints its
// handle; then it prints the job's status for each line that it reads.
const readline = require('readline');
const gearmanode = require('gearmanode');

const [host, port, name, unique, priority, payload] = process.argv.slice(2);
const client = gearmanode.client({ host, port: Number(port) });
const options = { background: true, unique, priority: priority.toUpperCase() };
const job = client.submitJob(name, payload, options);

job.on('created', () => {
  console.log(job.handle);
  readline.createInterface({ input: process.stdin })
    .on('line', () => job.getStatus())
    .on('close', () => client.close());
});
job.on('status', (s) => {
  console.log(`${+s.known} ${+s.running} ${s.percent_done_num} ${s.percent_done_den}`);
});
