-- wrk's script: every request carries the next token, and every answer is compared.
-- Arguments: the file with one token a line, and the exact body that the legacy service answers.

local threads = {}

function setup(thread)
  table.insert(threads, thread)
end

function init(args)
  expected = args[2]
  answers, different, first_difference = 0, 0, ""
  requests, position = {}, 0
  for token in io.lines(args[1]) do
    requests[#requests + 1] =
      wrk.format("GET", "/orders/17", { ["Authorization"] = "Bearer " .. token })
  end
end

function request()
  position = position % #requests + 1
  return requests[position]
end

function response(status, headers, body)
  answers = answers + 1
  if status ~= 200 or body ~= expected then
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
