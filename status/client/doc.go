// Package client asks Daybreak's status service whether data is ready, and waits for it.
//
//	c, err := client.New("https://data.example.com", os.Getenv("DAYBREAK_TOKEN"))
//	need, err := client.ParseNeed("orders@2026-01-05")
//	gate, err := c.Wait(ctx, need)
//	if err == nil && gate.Verdict == api.Ready { … }
//
// An error that the service answered is an [*Error] with its stable code; IsUnknown tells whether nobody
// can say how the data stands, because the service is stale, stopping or out of reach.
package client
