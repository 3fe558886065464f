// How many jobs BullMQ accepts in a second, from one process: COUNT; the last line is JSON. One job, one call of its API.
import { createRequire } from 'node:module';

const { BENCH_NODE_HOME, BENCH_URL } = process.env;
const { Queue } = createRequire(`${BENCH_NODE_HOME}/package.json`)('bullmq');
const connection = { host: '127.0.0.1', port: Number(new URL(BENCH_URL).port), maxRetriesPerRequest: null };
const queue = new Queue('bench', { connection });
const count = Number(process.argv[2]);
const message = 'Your parcel is ready at the counter of the main post office until Friday evening.';
const job = place => ({ to: `+24399${String(place).padStart(7, '0')}`, message, sender_id: 'BENCH' });

for (let place = 0; place < 200; place++) await queue.add('send', job(place));
const [started, cpu] = [performance.now(), process.cpuUsage()];
for (let place = 0; place < count; place++) await queue.add('send', job(place));
const seconds = (performance.now() - started) / 1000;
const { user, system } = process.cpuUsage(cpu);
console.log(JSON.stringify({ per_s: Math.round(count / seconds), cpu_s_per_1000: Number(((user + system) / 1e3 / count).toFixed(4)) }));
process.exit(0);
