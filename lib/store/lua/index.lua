-- index.lua - the index of a feed: primary key -> what the feed's writer knows of the row.
--
-- KEYS: index [, meta, log, lease]
-- ARGV: write, life ms, epoch, fence, 1 if the whole index goes first, {primary key, text or ''
--       (the row goes)}... | load, life ms, from
-- Returns {OK}, {EPOCH}, {FENCED}, or of a load {OK, next (0: the end), {primary key, text}...}.

local BATCH = 500

if ARGV[1] == 'load' then
    local scan = redis.call('HSCAN', KEYS[1], ARGV[3], 'COUNT', BATCH)
    local out = { 'OK', scan[1] }
    for i = 1, #scan[2] do
        out[i + 2] = scan[2][i]
    end
    redis.call('PEXPIRE', KEYS[1], ARGV[2])
    return out
end

if redis.call('HGET', KEYS[2], 'epoch') ~= ARGV[3] or redis.call('EXISTS', KEYS[3]) == 0 then
    return { 'EPOCH' }
end
local lease = redis.call('GET', KEYS[4])
if not lease or string.match(lease, '^%d+') ~= ARGV[4] then
    return { 'FENCED' }
end
if ARGV[5] == '1' then
    redis.call('UNLINK', KEYS[1])
end
-- First what needs memory: Redis refuses it only while the script has written nothing.
for i = 6, #ARGV, 2 do
    if ARGV[i + 1] ~= '' then
        redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
    end
end
for i = 6, #ARGV, 2 do
    if ARGV[i + 1] == '' then
        redis.call('HDEL', KEYS[1], ARGV[i])
    end
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return { 'OK' }
