-- common.lua - stands before every script: ids as text, the floor of a lane, trimming.
--
-- Ids are compared as text by length and then by digit: Lua's numbers hold 53 bits only.
-- A lane is a topic's stream (t:<topic>) or a feed's gaps (g:<feed>). The hash f holds
-- "<floor> <newest>" per lane: what may be gone, and the newest id that it ever had.

local function is_less(a, b)
    if #a ~= #b then
        return #a < #b
    end
    return a < b
end

local function is_before(a, b)
    local a_ms, a_seq = string.match(a, '^(%d+)-(%d+)$')
    local b_ms, b_seq = string.match(b, '^(%d+)-(%d+)$')
    if a_ms ~= b_ms then
        return is_less(a_ms, b_ms)
    end
    return is_less(a_seq, b_seq)
end

local function later(a, b)
    if is_before(a, b) then
        return b
    end
    return a
end

-- The id below which everything is older than `retain` ms.
local function age_limit(retain)
    local now = redis.call('TIME')
    local ms = tonumber(now[1]) * 1000 + math.floor(tonumber(now[2]) / 1000) - tonumber(retain)
    if ms < 0 then
        ms = 0
    end
    return string.format('%.0f-0', ms)
end

-- floor, newest (nil: never written). A lane that expired is gone up to its newest entry; one
-- that f does not know (it was lost) up to the log's last.
local function lane_floor(f, field, key, lowest, last)
    local floor, newest
    local known = redis.call('HGET', f, field)
    local is_there = redis.call('EXISTS', key) == 1
    if known then
        floor, newest = string.match(known, '^(%S+) (%S+)$')
        if not is_there then
            floor = newest
        end
    elseif is_there then
        floor = last
    end
    return later(floor or lowest, lowest), newest
end

-- Lets the surplus of a stream go; returns the last id that went, or nil.
local SLICE = 100 -- entries trimmed at once, so that no append is slow

local function trim(key, max)
    local surplus = redis.call('XLEN', key) - max
    if surplus < math.max(1, math.min(SLICE, math.floor(max / 10))) then
        return nil
    end
    local head = redis.call('XRANGE', key, '-', '+', 'COUNT', math.min(surplus, SLICE) + 1)
    redis.call('XTRIM', key, 'MINID', head[#head][1])
    return head[#head - 1][1]
end
