-- settle.lua - which log is this, and is it still whole? Asked at every connect and now and then.
--
-- KEYS: meta, log, gaps of all feeds, f
-- ARGV: the server's run_id, epoch and run_id that the asker knows ('' for none), the highest id
--       that it knows to have been in the log, an epoch in case one is needed, retain ms
-- Returns {SAME | NEW | SUSPECT, epoch, last id}.

local run, my_epoch, my_run, highest = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local meta = redis.call('HMGET', KEYS[1], 'epoch', 'last', 'run', 'retain', 'floor', 'scan')
local epoch, last = meta[1], meta[2]

-- The log's first entry names the epoch: the log exists from then on, and tails learn of it. Its
-- id lies behind all that is known of the log before: what that one left in topics stays below.
local function start(before)
    local now = redis.call('TIME')
    local ms = tonumber(now[1]) * 1000 + math.floor(tonumber(now[2]) / 1000)
    local known = string.match(later(before, later(highest, last or '0-0')), '^%d+')
    local id = string.format('%.0f-0', math.max(ms, tonumber(known)) + 1)
    redis.call('XADD', KEYS[2], id, 's', ARGV[5], 'b', before)
    redis.call('HSET', KEYS[1], 'epoch', ARGV[5], 'start', id, 'last', id, 'run', run,
        'retain', ARGV[6])
    redis.call('HDEL', KEYS[1], 'floor', 'scan')
    return { 'NEW', ARGV[5], id }
end

if not epoch or redis.call('EXISTS', KEYS[2]) == 0 then
    redis.call('DEL', KEYS[1], KEYS[3], KEYS[4])
    local rest = redis.call('EXISTS', KEYS[2]) == 1 and
        redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)[1]
    return start(rest and rest[1] or '0-0')
end

-- What a shorter retain_for let expire stays gone when it grows.
if ARGV[6] ~= meta[4] then
    if tonumber(ARGV[6]) > tonumber(meta[4]) then
        redis.call('HSET', KEYS[1], 'floor', later(age_limit(meta[4]), meta[5] or '0-0'))
    end
    redis.call('HSET', KEYS[1], 'retain', ARGV[6])
end

-- Topics and feeds that have had nothing for so long that their keys have expired long since: a
-- few at a time, so that f does not grow for ever. Their floor becomes everybody's, which is far
-- below the age limit.
local function forget()
    local limit = age_limit(tonumber(ARGV[6]) + 7200000)
    local scan = redis.call('HSCAN', KEYS[4], meta[6] or '0', 'COUNT', 50)
    local floor = redis.call('HGET', KEYS[1], 'floor') or '0-0'
    local old = {}
    for i = 1, #scan[2], 2 do
        local newest = string.match(scan[2][i + 1], ' (%S+)$')
        if is_before(newest, limit) then
            floor = later(floor, newest)
            old[#old + 1] = scan[2][i]
        end
    end
    -- Without memory for it nothing is forgotten: that is no reason to lose the store.
    local set = redis.pcall('HSET', KEYS[1], 'scan', scan[1], 'floor', floor)
    if #old > 0 and not (type(set) == 'table' and set.err) then
        redis.call('HDEL', KEYS[4], unpack(old))
    end
end

local knows = my_epoch == epoch and highest ~= '0-0'
if knows and is_before(last, highest) then
    return start(last) -- older than what was told to clients
end
if meta[3] == run and (my_run == '' or my_run == run) then
    forget()
    return { 'SAME', epoch, last }
end
if knows and #redis.call('XRANGE', KEYS[2], highest, highest) == 1 then
    redis.call('HSET', KEYS[1], 'run', run)
    return { 'SAME', epoch, last }
end
if meta[3] == run then
    if not knows then
        return { 'SAME', epoch, last } -- another gateway has judged
    end
    local gap = redis.call('XREVRANGE', KEYS[3], '+', '-', 'COUNT', 1)[1]
    if gap and is_before(highest, gap[1]) then
        return { 'SUSPECT', epoch, last } -- another gateway has said so
    end
end
local id = redis.call('XADD', KEYS[2], '*', 'g', '', 'p', 'restart', 'b', last)
redis.call('XADD', KEYS[3], id, 'p', 'restart')
redis.call('PEXPIRE', KEYS[3], string.format('%.0f', tonumber(ARGV[6]) + 3600000))
redis.call('HSET', KEYS[4], 'g:', last .. ' ' .. id)
redis.call('HSET', KEYS[1], 'run', run, 'last', id)
return { 'SUSPECT', epoch, id }
