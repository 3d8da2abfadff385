package dbt

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
)

// event is one line of dbt's JSON log, as far as it is read.
type event struct {
	Info struct {
		Name  string `json:"name"`
		Level string `json:"level"`
		Msg   string `json:"msg"`
	} `json:"info"`
	Data struct {
		Exception string `json:"exc"`
		NodeInfo  struct {
			ID     string `json:"unique_id"`
			Status string `json:"node_status"`
		} `json:"node_info"`
		Result *struct {
			Status   string `json:"status"`
			Message  string `json:"message"`
			Failures int64  `json:"num_failures"`
			Adapter  billed `json:"adapter_response"`
		} `json:"run_result"`
	} `json:"data"`
}

// The names of the events that are read. dbt promises to keep them.
const (
	nodeFinished = "NodeFinished"
	modelResult  = "LogModelResult"
	mainError    = "MainEncounteredError"
)

// tailLines is how many lines that are no events are kept, to say what a dbt that never got as far as logging said.
const tailLines = 12

// readEvents calls on for each event of a log and returns the end of what was none: the words of a program that is
// no dbt, or the trace of one that broke.
func readEvents(r io.Reader, on func(event)) (tail string, err error) {
	lines := bufio.NewReaderSize(r, 64<<10)
	var other []string
	for {
		line, err := lines.ReadBytes('\n')
		if line = bytes.TrimSpace(line); len(line) > 0 {
			var e event
			if json.Unmarshal(line, &e) == nil && e.Info.Name != "" {
				on(e)
			} else {
				other = append(other, string(line[:min(len(line), 500)]))
				other = other[max(0, len(other)-tailLines):]
			}
		}
		if errors.Is(err, io.EOF) {
			return strings.Join(other, "\n"), nil
		}
		if err != nil {
			return strings.Join(other, "\n"), err
		}
	}
}

// listener makes results of events.
type listener struct {
	batched   map[string]bool   // models that are built in batches, each of which ends as the model does
	concluded map[string]bool   // those of them that are done
	exception map[string]string // the first thing that went wrong with a node
	report    func(id string, r result)
}

func (l *listener) hear(e event) {
	id := e.Data.NodeInfo.ID
	switch r := e.Data.Result; {
	case id == "":
	case e.Data.Exception != "" && l.exception[id] == "":
		l.exception[id] = e.Data.Exception
	case e.Info.Name == modelResult:
		l.concluded[id] = true
	case e.Info.Name == nodeFinished && r != nil && (l.concluded[id] || !l.batched[id]):
		one := result{status: r.Status, message: r.Message, failures: r.Failures, used: r.Adapter.usage()}
		if one.status == "" {
			one.status = e.Data.NodeInfo.Status
		}
		if (one.message == "" || one.message == "ERROR" || one.status == partialSuccess) && l.exception[id] != "" {
			one.message = l.exception[id]
		}
		l.report(id, one)
	}
}
