// Command echo is the function of the tests: it returns its payload or does what "do" says.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
)

type request struct {
	Do     string `json:"do"`
	Text   string `json:"text"`
	Millis int    `json:"millis"`
	Bytes  int    `json:"bytes"`
}

type handler struct{ invocations int }

// Invoke implements lambda.Handler.
func (h *handler) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	h.invocations++
	if len(payload) == 0 || payload[0] != '{' {
		return []byte(strconv.Itoa(len(payload))), nil
	}
	var in request
	if err := json.Unmarshal(payload, &in); err != nil {
		return nil, err
	}
	switch in.Do {
	case "describe":
		return describe(ctx, h.invocations)
	case "fail":
		return nil, errors.New(in.Text)
	case "panic":
		panic(in.Text)
	case "exit":
		os.Exit(3)
	case "sleep":
		fmt.Println("sleeping")
		time.Sleep(time.Duration(in.Millis) * time.Millisecond)
	case "large":
		return bytes.Repeat([]byte("x"), in.Bytes), nil
	case "allocate":
		memory := bytes.Repeat([]byte("x"), in.Bytes)
		time.Sleep(time.Duration(in.Millis) * time.Millisecond)
		return []byte(strconv.Itoa(len(memory))), nil
	case "log":
		fmt.Println(in.Text)
		fmt.Fprintln(os.Stderr, "stderr: "+in.Text)
	case "child":
		cmd := exec.Command("sleep", "60")
		cmd.Stdout = os.Stdout
		if err := cmd.Start(); err != nil {
			return nil, err
		}
		return []byte(strconv.Itoa(cmd.Process.Pid)), nil
	}
	return payload, nil
}

func describe(ctx context.Context, invocations int) ([]byte, error) {
	lc, _ := lambdacontext.FromContext(ctx)
	deadline, _ := ctx.Deadline()
	return json.Marshal(map[string]any{
		"pid":         os.Getpid(),
		"invocations": invocations,
		"request":     lc.AwsRequestID,
		"arn":         lc.InvokedFunctionArn,
		"trace":       os.Getenv("_X_AMZN_TRACE_ID"),
		"deadline":    deadline.UnixMilli(),
		"environment": os.Environ(),
	})
}

func main() {
	switch os.Getenv("ECHO_INIT") {
	case "exit":
		os.Exit(7)
	case "hang":
		time.Sleep(time.Hour)
	}
	lambda.StartHandler(&handler{})
}
