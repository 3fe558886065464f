// BullMQ with its limiter, as its guide shows it: a job that the provider refuses goes back, and the queue pauses.
//   node bullmq.mjs work | fill COUNT | rate COUNT | many COUNT        (its modules are in BENCH_NODE_HOME)
// `fill` puts jobs in by the five hundred, and so does `many`; `rate` by one call of the API each. The last line of these two tells as
// JSON how fast it went.
import { appendFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const { BENCH_NODE_HOME, BENCH_URL, BENCH_HTTP, BENCH_STARTS, BENCH_NOTES, BENCH_WORKER, LIMIT, WINDOW } = process.env;
const { Queue, Worker } = createRequire(`${BENCH_NODE_HOME}/package.json`)('bullmq');
const connection = { host: '127.0.0.1', port: Number(new URL(BENCH_URL).port), maxRetriesPerRequest: null };
const queue = new Queue('bench', { connection });
const message = 'Your parcel is ready at the counter of the main post office until Friday evening.';
const [mode, count] = [process.argv[2], Number(process.argv[3])];
const job = place => ({ to: `+24399${String(place).padStart(7, '0')}`, message });

// A line where calls are watched, which outlives this process: when (Unix seconds), who, what, to whom.
const note = (what, to) => BENCH_NOTES && appendFileSync(BENCH_NOTES, `${Date.now() / 1000} ${BENCH_WORKER} ${what} ${to}\n`);

async function send({ data: { to, message } }) {
  if (BENCH_STARTS) appendFileSync(BENCH_STARTS, 'x');
  note('began', to);
  const response = await fetch(`${BENCH_HTTP}/api/v1/lisoloo/sms-api/send`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'app-key': 'sk_test_bench' },
    body: JSON.stringify({ to: [to], message, sender_id: 'BENCH' }),
  });
  await response.json();
  if (response.status === 429) {
    await queue.rateLimit(1000 * Number(response.headers.get('retry-after')));
    throw Worker.RateLimitError();
  }
  if (!response.ok) throw new Error(`the provider said ${response.status}`);
  note('done', to);
}

function work() {
  const limited = LIMIT ? { limiter: { max: Number(LIMIT), duration: Number(WINDOW) * 1000 } } : {};
  const worker = new Worker('bench', send, { connection, concurrency: 8, removeOnComplete: { count: 0 }, ...limited });
  worker.on('error', error => console.error(error));
  process.on('SIGTERM', () => process.exit(0));
}

async function byMany(jobs) {
  for (let done = 0; done < jobs; done += 500) {
    await queue.addBulk(Array.from({ length: Math.min(500, jobs - done) }, (_, i) => ({ name: 'send', data: job(done + i) })));
  }
}

async function oneByOne(jobs) {
  for (let place = 0; place < jobs; place++) await queue.add('send', job(place));
}

async function timed(put) {
  await put(200);
  const [started, cpu] = [performance.now(), process.cpuUsage()];
  await put(count);
  const seconds = (performance.now() - started) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  console.log(JSON.stringify({ per_s: Math.round(count / seconds), cpu_s_per_1000: Number(((user + system) / 1e3 / count).toFixed(4)) }));
}

await { work, fill: () => byMany(count), rate: () => timed(oneByOne), many: () => timed(byMany) }[mode]();
if (mode !== 'work') process.exit(0);
