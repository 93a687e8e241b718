-- lane.lua - how much a topic holds behind a position: as much as pages would hand out.
--
-- KEYS: meta, log, topic
-- ARGV: after, most entries to count, retain ms
-- Returns {OK, entries behind it, 1 if there are more, the first of them, the last of them, the
-- log's last id, epoch}, or {EPOCH}: there is no log.

local MAX_BYTES = 1048576
local CHUNK = 32

local most = tonumber(ARGV[2])
local meta = redis.call('HMGET', KEYS[1], 'epoch', 'last', 'start')
if not meta[1] or redis.call('EXISTS', KEYS[2]) == 0 then
    return { 'EPOCH' }
end
local after = later(later(ARGV[1], meta[3]), age_limit(ARGV[3]))

local function one(command, from, to)
    local found = redis.call(command, KEYS[3], from, to, 'COUNT', 1)[1]
    return found and found[1]
end

local function answer(n, is_capped, oldest, newest)
    return { 'OK', string.format('%.0f', n), is_capped and '1' or '0', oldest, newest, meta[2],
        meta[1] }
end

local newest = one('XREVRANGE', '+', '-')
if not newest or not is_before(after, newest) then
    return answer(0, false, '0-0', '0-0')
end
-- Behind less than the first one lies everything: no need to count.
local first = one('XRANGE', '-', '+')
if is_before(after, first) then
    local n = redis.call('XLEN', KEYS[3])
    return answer(math.min(n, most), n > most, first, newest)
end

local oldest, from = nil, after
local n, bytes = 0, 0
while true do
    local chunk = redis.call('XRANGE', KEYS[3], '(' .. from, '+', 'COUNT', CHUNK)
    for _, entry in ipairs(chunk) do
        oldest = oldest or entry[1]
        if n == most or bytes > MAX_BYTES then
            return answer(n, true, oldest, newest)
        end
        n = n + 1
        bytes = bytes + #entry[2][2]
        from = entry[1]
    end
    if #chunk < CHUNK then
        return answer(n, false, oldest, newest)
    end
end
