-- wrk's script: sends the requests of a file in turn, and compares every answer.
-- Arguments: a Lua file that returns a list of {method, path, headers, body}; the status; and the
-- exact body, where that is known.

local threads = {}

function setup(thread)
  table.insert(threads, thread)
end

function init(args)
  expected, expected_body = tonumber(args[2]), args[3]
  answers, different, first_difference = 0, 0, ""
  requests, position = {}, 0
  for _, one in ipairs(dofile(args[1])) do
    requests[#requests + 1] = wrk.format(one[1], one[2], one[3], one[4])
  end
end

function request()
  position = position % #requests + 1
  return requests[position]
end

function response(status, headers, body)
  answers = answers + 1
  if status ~= expected or (expected_body and body ~= expected_body) then
    different = different + 1
    if first_difference == "" then
      first_difference = status .. " " .. body:sub(1, 200):gsub("[^ -~]", "?"):gsub('["\\]', "'")
    end
  end
end

function done(summary, latency, rates)
  local compared, unlike, sample = 0, 0, ""
  for _, thread in ipairs(threads) do
    compared = compared + thread:get("answers")
    unlike = unlike + thread:get("different")
    if sample == "" then sample = thread:get("first_difference") end
  end
  local errors = summary.errors.connect + summary.errors.read + summary.errors.write
    + summary.errors.timeout
  io.write(string.format(
    '\nRESULT {"requests": %d, "compared": %d, "different": %d, "first_difference": "%s", '
      .. '"errors": %d, "seconds": %.6f, "p50_us": %d, "p99_us": %d}\n',
    summary.requests, compared, unlike, sample, errors, summary.duration / 1e6,
    latency:percentile(50), latency:percentile(99)))
end
