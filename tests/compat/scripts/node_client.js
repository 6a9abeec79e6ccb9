// A client: node_client.js HOST PORT FUNCTION UNIQUE < payload. Prints what happens to the job.
const fs = require('fs');
const gearmanode = require('gearmanode');

const [host, port, name, unique] = process.argv.slice(2);
const client = gearmanode.client({ host, port: Number(port) });

function say(kind, data = '') {
  fs.writeSync(1, Buffer.concat([Buffer.from(kind), Buffer.from(data), Buffer.from('\n')]));
}

function end(kind, data) {
  say(kind, data);
  client.close();
}

function submit() {
  const job = client.submitJob(name, fs.readFileSync(0), { unique });
  job.on('workData', (data) => say('data ', data));
  job.on('warning', (data) => say('warning ', data));
  job.on('status', (s) => say(`status ${s.percent_done_num}/${s.percent_done_den}`));
  job.on('complete', () => end('complete ', job.response));
  job.on('exception', (text) => end('exception ', text));
  job.on('failed', () => end('fail'));
}

client.on('error', (error) => {
  console.error(error.message);
  process.exit(1);
});
client.jobServers[0].once('option', submit);
client.jobServers[0].setOption('exceptions');
