-- wrk's script: asks with tokens that nobody has issued, each another one, in the form of the embedded
-- server's own with a right checksum, so that nothing but a look into the database tells them apart.
-- Argument: the seed. Counts answers that are not 401.

local bit = require("bit")
local threads = {}
local digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

local crcs = {}
for byte = 0, 255 do
  local crc = byte
  for _ = 1, 8 do
    local low = bit.band(crc, 1)
    crc = bit.rshift(crc, 1)
    if low == 1 then crc = bit.bxor(crc, 0xEDB88320) end
  end
  crcs[byte] = crc
end

local function checksum(text)
  local crc = 0xFFFFFFFF
  for index = 1, #text do
    local byte = bit.band(bit.bxor(crc, text:byte(index)), 0xFF)
    crc = bit.bxor(bit.rshift(crc, 8), crcs[byte])
  end
  local number = tonumber(bit.bxor(crc, 0xFFFFFFFF)) % 4294967296
  local found = ""
  for _ = 1, 6 do
    local digit = number % 62
    found = digits:sub(digit + 1, digit + 1) .. found
    number = (number - digit) / 62
  end
  return found
end

function setup(thread)
  table.insert(threads, thread)
end

function init(args)
  math.randomseed(tonumber(args[1]))
  answers, different = 0, 0
end

function request()
  local letters = {}
  for index = 1, 43 do
    local digit = math.random(62)
    letters[index] = digits:sub(digit, digit)
  end
  local body = "gw_at_" .. table.concat(letters)
  return wrk.format("GET", "/orders/17", {["Authorization"] = "Bearer " .. body .. checksum(body)})
end

function response(status)
  answers = answers + 1
  if status ~= 401 then different = different + 1 end
end

function done(summary)
  local compared, unlike = 0, 0
  for _, thread in ipairs(threads) do
    compared = compared + thread:get("answers")
    unlike = unlike + thread:get("different")
  end
  local errors = summary.errors.connect + summary.errors.read + summary.errors.write
    + summary.errors.timeout
  io.write(string.format(
    '\nRESULT {"requests": %d, "compared": %d, "different": %d, "errors": %d, "seconds": %.6f}\n',
    summary.requests, compared, unlike, errors, summary.duration / 1e6))
end
