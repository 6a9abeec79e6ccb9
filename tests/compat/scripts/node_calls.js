// Calls of GearmaNode's client: node_calls.js HOST PORT. Our worker does the jobs.
const gearmanode = require('gearmanode');

const [host, port] = process.argv.slice(2);
const client = gearmanode.client({ host, port: Number(port) });
const [server] = client.jobServers;

function ended(job) {
  return new Promise((resolve) => {
    job.once('complete', () => resolve(`complete ${job.response}`));
    job.once('failed', () => resolve('failed'));
  });
}

function once(what, event) {
  return new Promise((resolve) => what.once(event, resolve));
}

async function main() {
  server.echo('anybody there?');
  console.log('echo:', await once(server, 'echo'));

  for (const priority of ['LOW', 'NORMAL', 'HIGH']) {
    const options = { priority, unique: 'key', toStringEncoding: 'utf8' };
    const job = client.submitJob('gearpy.unique', 'x', options);
    console.log(`${priority}:`, await ended(job));
  }

  const jobs = ['abc', 'def', 'ghi'].map((data) => client.submitJob('gearpy.reverse', data));
  console.log('side by side:', (await Promise.all(jobs.map(ended))).join(', '));

  // The server is not asked for exceptions here: it says that the job failed.
  console.log('exception:', await ended(client.submitJob('gearpy.raise', 'x')));
  client.close();
}

main();
