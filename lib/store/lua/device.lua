-- device.lua - touches, acknowledges for, reads or deletes one device of a user.
--
-- A device is a hash: id, label, created, seen, and for each topic the field t:<topic> with the
-- acknowledged cursor or nothing. The user's index holds the devices by the time at which they
-- expire, so that those that are gone do not count.
--
-- KEYS: meta, log, device, the user's index
-- ARGV: touch, member of the index, ttl ms, id, has label, label, most devices, most topics,
--       must exist, {topic, cursor or ''}...
--     | ack, member, ttl ms, {topic, cursor or '' to leave the device}...
--     | get, member | delete, member
-- Returns {OK, is new, id, label, created, seen, expires, {topic, cursor, ack}...} of touch and get,
-- {OK, ack...} of ack, {OK} of delete; {NOTFOUND}; {LIMIT, devices | topics}.

local FIXED = 4 -- fields that are not topics
local verb, member, ttl = ARGV[1], ARGV[2], ARGV[3]
local device, index = KEYS[3], KEYS[4]
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
local exists = redis.call('EXISTS', device) == 1

local function text(number)
    return string.format('%.0f', number)
end

-- What becomes of the cursor, and which one is held after that.
local meta = redis.call('HMGET', KEYS[1], 'epoch', 'last')
local has_log = meta[1] and redis.call('EXISTS', KEYS[2]) == 1
local function acknowledge(held, asked)
    local epoch, pos = string.match(asked, '^(%w*)%.(.*)$')
    if not has_log or epoch ~= meta[1] then
        return 'EPOCH', held
    end
    if is_before(meta[2], pos) then
        return 'AHEAD', held
    end
    local held_epoch, held_pos = string.match(held, '^(%w*)%.(.*)$')
    if held_epoch == epoch and not is_before(held_pos, pos) then
        return 'OK', held
    end
    return 'OK', asked
end

local function refresh(fields)
    fields[#fields + 1] = 'seen'
    fields[#fields + 1] = text(now)
    -- First what needs memory: Redis refuses it only while the script has written nothing.
    redis.call('HSET', device, unpack(fields))
    redis.call('ZREMRANGEBYSCORE', index, '-inf', text(now))
    redis.call('ZADD', index, text(now + tonumber(ttl)), member)
    redis.call('PEXPIRE', device, ttl)
    if redis.call('PTTL', index) < tonumber(ttl) then
        redis.call('PEXPIRE', index, ttl)
    end
end

-- The asked topics first, in their order, then the others. acks: nil for those.
local function whole(is_new, asked, acks)
    local all = redis.call('HGETALL', device)
    local out = { 'OK', is_new, '', '', '', '', text(now + redis.call('PTTL', device)) }
    local place = { id = 3, label = 4, created = 5, seen = 6 }
    local held, is_asked = {}, {}
    for i = 1, #all, 2 do
        if place[all[i]] then
            out[place[all[i]]] = all[i + 1]
        end
        held[all[i]] = all[i + 1]
    end
    for i, topic in ipairs(asked) do
        is_asked['t:' .. topic] = true
        out[#out + 1] = topic
        out[#out + 1] = held['t:' .. topic]
        out[#out + 1] = acks[i]
    end
    for i = 1, #all, 2 do
        if not place[all[i]] and not is_asked[all[i]] then
            out[#out + 1] = string.sub(all[i], 3)
            out[#out + 1] = all[i + 1]
            out[#out + 1] = 'NONE'
        end
    end
    return out
end

local function touch()
    local fields, asked, acks, held = {}, {}, {}, {}
    local n_new = 0
    for i = 10, #ARGV, 2 do
        local field = 't:' .. ARGV[i]
        if held[field] == nil then
            held[field] = exists and redis.call('HGET', device, field)
            n_new = n_new + (held[field] and 0 or 1)
            held[field] = held[field] or ''
        end
        local ack = 'NONE'
        if ARGV[i + 1] ~= '' then
            ack, held[field] = acknowledge(held[field], ARGV[i + 1])
        end
        asked[#asked + 1] = ARGV[i]
        acks[#acks + 1] = ack
    end
    if not exists then
        if ARGV[9] == '1' then
            return { 'NOTFOUND' }
        end
        if redis.call('ZCOUNT', index, '(' .. text(now), '+inf') >= tonumber(ARGV[7]) then
            return { 'LIMIT', 'devices' }
        end
        fields = { 'id', ARGV[4], 'created', text(now), 'label', '' }
    end
    if n_new > 0 then
        local n = exists and redis.call('HLEN', device) - FIXED or 0
        if n + n_new > tonumber(ARGV[8]) then
            return { 'LIMIT', 'topics' }
        end
    end
    if ARGV[5] == '1' then
        fields[#fields + 1] = 'label'
        fields[#fields + 1] = ARGV[6]
    end
    for field, cursor in pairs(held) do
        fields[#fields + 1] = field
        fields[#fields + 1] = cursor
    end
    refresh(fields)
    return whole(exists and '0' or '1', asked, acks)
end

local function ack()
    local out, fields, held, gone = { 'OK' }, {}, {}, {}
    for i = 4, #ARGV, 2 do
        local field = 't:' .. ARGV[i]
        if held[field] == nil then
            held[field] = redis.call('HGET', device, field)
        end
        if not held[field] then
            out[#out + 1] = 'UNKNOWN'
        elseif ARGV[i + 1] == '' then
            out[#out + 1] = 'NONE'
            held[field] = false
            gone[#gone + 1] = field
        else
            out[#out + 1], held[field] = acknowledge(held[field], ARGV[i + 1])
        end
    end
    for field, cursor in pairs(held) do
        if cursor then
            fields[#fields + 1] = field
            fields[#fields + 1] = cursor
        end
    end
    refresh(fields)
    if #gone > 0 then
        redis.call('HDEL', device, unpack(gone))
    end
    return out
end

if verb == 'touch' then
    return touch()
end
if verb == 'delete' then
    redis.call('ZREM', index, member)
    return { redis.call('DEL', device) == 1 and 'OK' or 'NOTFOUND' }
end
if not exists then
    return { 'NOTFOUND' }
end
if verb == 'ack' then
    return ack()
end
return whole('0', {}, {})
