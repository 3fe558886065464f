// BullMQ with its limiter, as its guide shows it: a job that the provider refuses goes back, and the queue pauses.
//   node bullmq.mjs work | fill COUNT        (its modules are in BENCH_NODE_HOME)
import { appendFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const { BENCH_NODE_HOME, BENCH_URL, BENCH_HTTP, BENCH_STARTS, LIMIT, WINDOW } = process.env;
const { Queue, Worker } = createRequire(`${BENCH_NODE_HOME}/package.json`)('bullmq');
const connection = { host: '127.0.0.1', port: Number(new URL(BENCH_URL).port), maxRetriesPerRequest: null };
const queue = new Queue('bench', { connection });
const [mode, count] = process.argv.slice(2);

async function send(job) {
  appendFileSync(BENCH_STARTS, 'x');
  const response = await fetch(`${BENCH_HTTP}/send`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ to: ['+243990000001'], message: job.data.key, sender_id: 'BENCH' }),
  });
  await response.text();
  if (response.status === 429) {
    await queue.rateLimit(1000 * Number(response.headers.get('retry-after')));
    throw Worker.RateLimitError();
  }
}

if (mode === 'work') {
  const limiter = { max: Number(LIMIT), duration: Number(WINDOW) * 1000 };
  const worker = new Worker('bench', send, { connection, concurrency: 8, limiter, removeOnComplete: { count: 0 } });
  worker.on('error', error => console.error(error));
  process.on('SIGTERM', () => process.exit(0));
} else {
  for (let done = 0; done < Number(count); done += 500) {
    const jobs = Array.from({ length: Math.min(500, Number(count) - done) }, (_, i) => ({ name: 'send', data: { key: `${done + i}` } }));
    await queue.addBulk(jobs);
  }
  process.exit(0);
}
