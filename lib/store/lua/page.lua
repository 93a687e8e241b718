-- page.lua - judges a cursor and reads a page behind it, in one step.
--
-- KEYS: meta, log, topic, f, gaps of all feeds [, gaps of the feed]
-- ARGV: epoch, after, up_to, most entries, retain ms, the topic's field in f, the fields of the
--       gaps in the order of their keys
-- Returns {verdict, resume, has more, id, payload, id, payload, ...}. The verdict SKIPPED is
-- EXPIRED, with entries that are still held before the gap at `resume`.

local MAX_BYTES = 1048576
local CHUNK = 32

local epoch, after, up_to = ARGV[1], ARGV[2], ARGV[3]
local meta = redis.call('HMGET', KEYS[1], 'epoch', 'last', 'start', 'floor')
if meta[1] ~= epoch or redis.call('EXISTS', KEYS[2]) == 0 then
    return { 'EPOCH', up_to, 0 }
end
local last = meta[2]
local lowest = later(meta[3], meta[4] or '0-0')

-- The last gap up to up_to, or up_to itself when gaps behind `after` were forgotten.
local function last_gap(key, field)
    local found = redis.call('XREVRANGE', key, up_to, '-', 'COUNT', 1)
    if found[1] then
        return found[1][1]
    end
    local floor, newest = lane_floor(KEYS[4], field, key, lowest, last)
    if (newest or floor ~= lowest) and is_before(after, floor) and is_before(lowest, floor) then
        return up_to
    end
    return '0-0'
end

local function judge()
    if is_before(last, after) then
        return 'AHEAD', up_to
    end
    if after == last then
        return 'COMPLETE', after
    end
    local gap = '0-0'
    for i = 5, #KEYS do
        gap = later(gap, last_gap(KEYS[i], ARGV[i + 2]))
    end
    local floor = lane_floor(KEYS[4], ARGV[6], KEYS[3], lowest, last)
    floor = later(floor, age_limit(ARGV[5]))
    if is_before(after, floor) then
        local whole = later(floor, gap)
        if is_before(up_to, whole) then
            whole = up_to
        end
        if is_before(floor, gap)
            and redis.call('XRANGE', KEYS[3], '(' .. floor, whole, 'COUNT', 1)[1] then
            return 'SKIPPED', whole
        end
        return 'EXPIRED', whole
    end
    if is_before(after, gap) then
        return 'GAP', gap
    end
    return 'COMPLETE', after
end

local verdict, resume = judge()
local out = { verdict, resume, 0 }
local most = tonumber(ARGV[4])
local from = resume
local n, bytes = 0, 0
while is_before(from, up_to) do
    local chunk = redis.call('XRANGE', KEYS[3], '(' .. from, up_to, 'COUNT', CHUNK)
    for _, entry in ipairs(chunk) do
        if n == most or bytes > MAX_BYTES then
            out[3] = 1
            return out
        end
        out[#out + 1] = entry[1]
        out[#out + 1] = entry[2][2]
        n = n + 1
        bytes = bytes + #entry[2][2]
        from = entry[1]
    end
    if #chunk < CHUNK then
        break
    end
end
return out
