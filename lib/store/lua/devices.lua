-- devices.lua - a user's devices, those that were seen last first.
--
-- KEYS: the user's index
-- ARGV: what stands before a member in the key of its device, most devices
-- Returns {OK, how many there are, {id, label, created, seen, expires, topics}...}.

local FIXED = 4 -- fields that are not topics
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now))

local out = { 'OK', '' }
local found = redis.call('ZREVRANGE', KEYS[1], 0, tonumber(ARGV[2]) - 1, 'WITHSCORES')
for i = 1, #found, 2 do
    -- In the slot of the index: all keys have one hash tag.
    local key = ARGV[1] .. found[i]
    local fields = redis.call('HMGET', key, 'id', 'label', 'created', 'seen')
    if fields[1] then
        for _, field in ipairs(fields) do
            out[#out + 1] = field
        end
        out[#out + 1] = found[i + 1]
        out[#out + 1] = string.format('%.0f', redis.call('HLEN', key) - FIXED)
    else
        redis.call('ZREM', KEYS[1], found[i])
    end
end
out[2] = string.format('%.0f', redis.call('ZCARD', KEYS[1]))
return out
