module github.com/insighthub/insighthub

go 1.25
