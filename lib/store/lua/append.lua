-- append.lua - one event of a topic, or one gap of a feed: the log gives the id, the lane
-- repeats it.
--
-- KEYS: meta, log, lane, f [, lease [, index]] [, key that is used once]
-- ARGV: epoch, fence or '' (no lease), kind (e or g), name, payload, field in f, retain ms,
--       lane's maximum, log's maximum, life of the key in ms or '', primary key of the row in the
--       index or '', its text or '' (the row goes), life of the index in ms
-- Returns {OK, id} or, with nothing written, {EPOCH}, {FENCED} or {CONFLICT, the first one's id}.

local meta = redis.call('HMGET', KEYS[1], 'epoch', 'last', 'start', 'floor')
if meta[1] ~= ARGV[1] or redis.call('EXISTS', KEYS[2]) == 0 then
    return { 'EPOCH' }
end
if ARGV[2] ~= '' then
    local lease = redis.call('GET', KEYS[5])
    if not lease or string.match(lease, '^%d+') ~= ARGV[2] then
        return { 'FENCED' }
    end
end
local once = ARGV[10] ~= '' and KEYS[#KEYS]
local used = once and redis.call('GET', once)
if used then
    local epoch, first = string.match(used, '^(%w+)%.(.+)$')
    if epoch == ARGV[1] then
        return { 'CONFLICT', first }
    end
end

local last = meta[2]
local floor = lane_floor(KEYS[4], ARGV[6], KEYS[3], later(meta[3], meta[4] or '0-0'), last)
-- 'b' is the id before: a tail sees by it that nothing was trimmed in front of it.
local id = redis.call('XADD', KEYS[2], '*', ARGV[3], ARGV[4], 'p', ARGV[5], 'b', last)
local added = redis.pcall('XADD', KEYS[3], id, 'p', ARGV[5])
if type(added) == 'table' and added.err then
    -- It is left over from another log and holds larger ids.
    redis.call('DEL', KEYS[3])
    redis.call('XADD', KEYS[3], id, 'p', ARGV[5])
    floor = last
end

local age = age_limit(ARGV[7])
if redis.call('XTRIM', KEYS[3], 'MINID', age) > 0 then
    floor = later(floor, age)
end
floor = later(floor, trim(KEYS[3], tonumber(ARGV[8])) or floor)
trim(KEYS[2], tonumber(ARGV[9]))
redis.call('PEXPIRE', KEYS[3], string.format('%.0f', tonumber(ARGV[7]) + 3600000))
redis.call('HSET', KEYS[4], ARGV[6], floor .. ' ' .. id)
redis.call('HSET', KEYS[1], 'last', id)
if ARGV[11] ~= '' then
    if ARGV[12] ~= '' then
        redis.call('HSET', KEYS[6], ARGV[11], ARGV[12])
    else
        redis.call('HDEL', KEYS[6], ARGV[11])
    end
    redis.call('PEXPIRE', KEYS[6], ARGV[13])
end
if once then
    redis.call('SET', once, ARGV[1] .. '.' .. id, 'PX', ARGV[10])
end
return { 'OK', id }
