# Sums up the output of go test: how many packages passed, and which failed.
#
#   awk -v web=passed -f testsummary.awk test.log
#
# went is "failed" when go test itself failed, also where no package is to blame.
$1 == "ok" { passed++ }
$1 == "FAIL" && NF > 1 { failed++; names = names (names == "" ? "" : ", ") $2 }
END {
	sub("github.com/insighthub/insighthub/", "", names)
	gsub(", github.com/insighthub/insighthub/", ", ", names)
	if (went == "failed" && failed == 0) {
		failed = 1
		names = "go test itself"
	}
	if (web == "failed") {
		failed++
		names = names (names == "" ? "" : ", ") "web"
	} else {
		passed++
	}
	printf "packages: %d passed, %d failed%s\n", passed, failed, (failed > 0 ? " (" names ")" : "")
}
