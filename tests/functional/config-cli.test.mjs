// The command line and the configuration, as an operator meets them.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { after, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { binary } from './lib/gateway.mjs';

const DOC = fileURLToPath(new URL('../../docs/CONFIG.md', import.meta.url));
const dir = mkdtempSync(path.join(os.tmpdir(), 'tidegate-cli-'));
after(() => rmSync(dir, { recursive: true, force: true }));

const GOOD = 'supabase:\n  url: http://127.0.0.1:9\n  anon_key: anon-key-in-clear\n';

function file(name, text) {
  const at = path.join(dir, name);
  writeFileSync(at, text);
  return at;
}

/** Runs the program to its end. */
async function run(args, env = {}, command = binary()) {
  const kept = Object.entries(process.env).filter(([name]) => !name.startsWith('TIDEGATE_'));
  const child = spawn(command, args, {
    env: { ...Object.fromEntries(kept), ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const out = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr']) {
    child[name].setEncoding('utf8').on('data', (text) => {
      out[name] += text;
    });
  }
  const [code] = await once(child, 'close');
  return { code, ...out };
}

describe('the limit of open files', () => {
  test('below what the connections need: the start fails and says both numbers', async () => {
    const at = file('files.yaml', `${GOOD}server: {listen: "127.0.0.1:0", workers: 2, max_connections: 500}\n`);
    const { code, stderr } = await run(['-c', 'ulimit -n 300 && exec "$0" --config "$1"', binary(), at], {}, 'sh');
    assert.equal(code, 1);
    assert.match(stderr, /level=error event=descriptors .*limit=300 needed=628 max_connections=500 means="raise /);
  });
});

describe('what it says about itself', () => {
  test('--help names every option and the exit statuses, on standard output', async () => {
    for (const option of ['--help', '-h']) {
      const { code, stdout, stderr } = await run([option]);
      assert.equal(code, 0);
      assert.equal(stderr, '');
      for (const word of ['--config', '--check', '--dump', '--healthcheck', '--version', '3 the configuration']) {
        assert.ok(stdout.includes(word), `${word} in ${stdout}`);
      }
    }
  });

  test('--version is one line', async () => {
    const { code, stdout } = await run(['--version']);
    assert.equal(code, 0);
    assert.match(stdout, /^tidegate \d+\.\d+\.\d+\S*\n$/);
  });

  test('--config-doc is docs/CONFIG.md', async () => {
    const { stdout } = await run(['--config-doc']);
    assert.equal(stdout, readFileSync(DOC, 'utf8'));
  });

  test('wrong usage ends with 2 and says what was not understood', async () => {
    for (const args of [['--nonsense'], ['stray'], ['-c'], ['-c', 'a', '-c', 'b'], ['--check', '--dump']]) {
      const { code, stdout, stderr } = await run(args);
      assert.equal(code, 2, args.join(' '));
      assert.equal(stdout, '');
      assert.match(stderr, /^tidegate: .+\nusage: tidegate/);
    }
  });
});

describe('--check', () => {
  test('accepts a good file and starts nothing', async () => {
    const { code, stdout, stderr } = await run(['--check', '-c', file('good.yaml', GOOD)]);
    assert.deepEqual([code, stderr], [0, '']);
    assert.equal(stdout, 'The configuration is valid.\n');
  });

  test('names every mistake with file, line and what is allowed, and ends with 3', async () => {
    const at = file(
      'bad.yaml',
      `${GOOD}server:\n  listen: nowhere\n  bogus: 1\nlimits:\n  fields: 5\nlog:\n  level: loud\nhat: {a: 1}\n`,
    );
    const { code, stdout, stderr } = await run(['--check', '-c', at]);
    assert.equal(code, 3);
    assert.equal(stdout, '');
    const lines = stderr.trimEnd().split('\n');
    const wanted = [
      [5, 'server.listen', 'allowed: an IP address and a port'],
      [6, 'server.bogus', 'this section has: listen'],
      [8, 'limits.fields', 'from 16 to 1000'],
      [10, 'log.level', 'debug, info, warn or error'],
      [11, 'hat', ''],
    ];
    for (const [number, key, allowed] of wanted) {
      const line = lines.find((l) => l.startsWith(`${at}:${number}: `));
      assert.ok(line?.includes(key) && line.includes(allowed), `${number} ${key} in ${stderr}`);
    }
    assert.equal(lines.length, wanted.length, stderr);
  });

  test('reads conditions and questions of topics, and names what is wrong with them', async () => {
    const topic = [
      '  service_key: sb_secret_x',
      'topics:',
      '  trip-messages:',
      '    table: public.trip_chat_messages',
      '    key: trip_id',
      '    columns: [id, trip_id, content]',
      '    where: deleted_at=is.null',
      '    authorize: trip_members?trip_id=eq.{key}&user_id=eq.{sub}',
      '',
    ].join('\n');
    const good = await run(['--check', '-c', file('topics.yaml', GOOD + topic)]);
    assert.equal(good.stderr, '');
    assert.equal(good.code, 0);
    const at = file('like.yaml', (GOOD + topic).replace('is.null', 'gt.1').replace('=eq.{key}', '=like.{key}'));
    for (const args of [['--check', '-c', at], ['-c', at]]) {
      const { code, stderr } = await run(args);
      assert.equal(code, 3);
      assert.match(stderr, /like\.yaml:10: "topics\.trip-messages\.where": the operator of a condition is eq, neq/);
      assert.match(stderr, /like\.yaml:11: "topics\.trip-messages\.authorize": a placeholder is a whole value/);
    }
  });

  test('names what is missing', async () => {
    const { code, stderr } = await run(['--check']);
    assert.equal(code, 3);
    assert.match(stderr, /supabase\.url/);
    assert.match(stderr, /supabase\.anon_key/);
  });

  test('says which file cannot be read, and where YAML ends', async () => {
    const none = await run(['--check', '-c', path.join(dir, 'none.yaml')]);
    assert.equal(none.code, 3);
    assert.match(none.stderr, /none\.yaml/);
    const broken = await run(['--check', '-c', file('broken.yaml', 'server:\n  listen: "\n')]);
    assert.equal(broken.code, 3);
    assert.match(broken.stderr, /broken\.yaml:\d+: /);
  });

  test('never repeats the value of a secret', async () => {
    const at = file('secret.yaml', GOOD.replace('anon-key-in-clear', '"secret\\twith a tab"'));
    const { code, stderr } = await run(['--check', '-c', at]);
    assert.equal(code, 3);
    assert.ok(stderr.includes('supabase.anon_key'));
    assert.ok(!stderr.includes('with a tab'), stderr);
  });
});

describe('the environment', () => {
  test('overrides the file, and --dump says where each value is from', async () => {
    const at = file('from.yaml', `${GOOD}server:\n  workers: 3\n  max_connections: 77\n`);
    const { code, stdout } = await run(['--dump', '-c', at], {
      TIDEGATE_SERVER_WORKERS: '5',
      TIDEGATE_SERVER_MAX_CONNECTIONS: '',
      TIDEGATE_SERVER_TRUSTED_PROXIES: '10.0.0.0/8,::1',
    });
    assert.equal(code, 0);
    assert.match(stdout, /^ {2}workers: "5" # environment$/m);
    assert.match(stdout, /^ {2}max_connections: "77" # file$/m);
    assert.match(stdout, /^ {2}trusted_proxies: .*10\.0\.0\.0\/8.*::1.*# environment$/m);
    assert.match(stdout, /^ {2}max: "10000" # default$/m);
  });

  test('an unknown variable of ours stops the start, those of container engines do not', async () => {
    const at = file('good2.yaml', GOOD);
    const { code, stderr } = await run(['-c', at], { TIDEGATE_SERVER_LISTNE: '127.0.0.1:0' });
    assert.equal(code, 3);
    assert.match(stderr, /TIDEGATE_SERVER_LISTNE/);
    const engine = await run(['--check', '-c', at], {
      TIDEGATE_PORT: 'tcp://10.0.0.1:80', TIDEGATE_SERVICE_HOST: '10.0.0.1', TIDEGATE_PORT_80_TCP: 'x',
    });
    assert.equal(engine.code, 0, engine.stderr);
  });

  test('names the file', async () => {
    const { code, stdout } = await run(['--dump'], { TIDEGATE_CONFIG: file('env.yaml', GOOD) });
    assert.equal(code, 0);
    assert.match(stdout, /url: "http:\/\/127\.0\.0\.1:9" # file/);
  });

  test('--dump stars every secret, and what it prints is a configuration', async () => {
    const secrets = {
      TIDEGATE_SUPABASE_SERVICE_KEY: 'service-in-clear',
      TIDEGATE_SUPABASE_JWT_SECRET: 'jwt-secret-in-clear-0123456789abcdef',
      TIDEGATE_STORE_URL: 'redis://user:pass-in-clear@127.0.0.1:1/0',
    };
    const { stdout, stderr, code } = await run(['--dump', '-c', file('good3.yaml', GOOD)], secrets);
    assert.equal(code, 0, stderr);
    assert.ok(!`${stdout}${stderr}`.includes('in-clear'), stdout);
    assert.equal(stdout.match(/"\*\*\*\*"/g).length, 4);
    const filled = stdout.replace(/anon_key: "\*+"/, 'anon_key: "anon"').replace(/"\*+"/g, '""');
    const again = await run(['--check', '-c', file('dumped.yaml', filled)]);
    assert.equal(again.code, 0, again.stderr);
  });
});

describe('a start that cannot be', () => {
  test('a taken port is named, with the reason, and the status is 1', async (t) => {
    const taken = net.createServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    t.after(() => taken.close());
    const address = `127.0.0.1:${taken.address().port}`;
    for (const key of ['server', 'admin']) {
      const other = key === 'server' ? 'admin' : 'server';
      const text = `${GOOD}${key}:\n  listen: ${address}\n${other}:\n  listen: 127.0.0.1:0\n`;
      const { code, stderr } = await run(['-c', file(`${key}.yaml`, text)]);
      assert.equal(code, 1, stderr);
      const line = stderr.split('\n').find((l) => l.includes(address));
      assert.match(line ?? '', /level=error .*why="?Address already in use/, stderr);
    }
  });

  test('a bad configuration starts nothing and ends with 3', async () => {
    const { code, stdout, stderr } = await run(['-c', file('start.yaml', `${GOOD}streams:\n  max: 0\n`)]);
    assert.deepEqual([code, stdout], [3, '']);
    assert.match(stderr, /start\.yaml:5: streams\.max: "0" is not allowed/);
  });

  test('--healthcheck says no when nothing listens', async () => {
    const taken = net.createServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    const { port } = taken.address();
    taken.close();
    await once(taken, 'close');
    const at = file('health.yaml', `${GOOD}admin:\n  listen: 127.0.0.1:${port}\n`);
    const { code, stderr } = await run(['--healthcheck', '-c', at]);
    assert.equal(code, 1);
    assert.match(stderr, /no answer/);
  });
});
