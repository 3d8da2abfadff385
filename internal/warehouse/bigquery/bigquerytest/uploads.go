package bigquerytest

import (
	"bytes"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"regexp"
	"strconv"
)

// uploading is a session of a resumable upload: a part that comes in chunks, each in a request of its own.
type uploading struct {
	method  *method
	call    *call
	job     string
	media   []byte
	gone    bool
	answer  any // once the job was made
	refused *refusal
}

// multipartBody splits the body of an upload in one request.
func multipartBody(r *http.Request, body []byte) (metadata, media []byte, err error) {
	kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/related" {
		return nil, nil, fmt.Errorf("an upload of type %q: %w", kind, err)
	}
	parts := multipart.NewReader(bytes.NewReader(body), params["boundary"])
	for _, to := range []*[]byte{&metadata, &media} {
		p, err := parts.NextPart()
		if err != nil {
			return nil, nil, err
		}
		if *to, err = io.ReadAll(p); err != nil {
			return nil, nil, err
		}
	}
	return metadata, media, nil
}

// beginUpload begins a session.
func (s *Server) beginUpload(w http.ResponseWriter, r *http.Request, path string, body []byte) {
	m, params := s.route(r.Method, path)
	if m == nil {
		s.violate("upload to %s", path)
		s.reply(w, nil, &refusal{status: http.StatusNotFound, reason: "notFound"})
		return
	}
	c := &call{params: params, query: r.URL.Query(), body: body}
	s.validate(m, c)
	_, refused := s.faulty(m, c, func(*call) (any, *refusal) { return nil, nil })
	if refused != nil {
		s.reply(w, nil, refused)
		return
	}
	id := strconv.FormatInt(s.tick(), 10)
	s.uploads[id] = &uploading{method: m, call: c, job: s.requests[len(s.requests)-1].Job}
	if s.handlers[m.ID] == nil {
		s.violate("the double does not know %s", m.ID)
	}
	w.Header().Set("Location", s.URL+"/upload/sessions/"+id)
	w.WriteHeader(http.StatusOK)
}

var contentRange = regexp.MustCompile(`^bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)$`)

// chunk takes a chunk. The last one makes the job; asked for it again, the session answers again.
func (s *Server) chunk(w http.ResponseWriter, r *http.Request, id string, body []byte) {
	u := s.uploads[id]
	m := contentRange.FindStringSubmatch(r.Header.Get("Content-Range"))
	if u == nil || m == nil {
		s.violate("a chunk for session %q with the range %q", id, r.Header.Get("Content-Range"))
		s.reply(w, nil, &refusal{status: http.StatusNotFound, reason: "notFound"})
		return
	}
	final := m[3] != "*"
	s.received += int64(len(body))
	s.requests = append(s.requests, Request{"upload", u.job, u.call.authorization, nil})
	f := s.meets("upload", u.job, final)
	if f != nil && f.Status != 0 {
		u.gone = u.gone || f.Status == http.StatusGone
	}
	switch {
	case u.gone:
		s.reply(w, nil, &refusal{status: http.StatusGone, reason: "gone", message: "the upload session is gone"})
		return
	case f != nil && f.Status != 0:
		s.reply(w, nil, f.refusal())
		return
	case u.answer == nil && u.refused == nil:
		if from, _ := strconv.Atoi(m[1]); m[1] != "" && from != len(u.media) {
			s.violate("a chunk from %d where %d is due", from, len(u.media))
		}
		u.media = append(u.media, body...)
	}
	if !final && r.Header.Get("X-Guploader-No-308") != "yes" { // a client that knows the status
		w.Header().Set("Range", fmt.Sprintf("bytes=0-%d", len(u.media)-1))
		w.WriteHeader(http.StatusPermanentRedirect)
		return
	}
	if !final {
		w.Header().Set("X-Http-Status-Code-Override", "308")
		w.WriteHeader(http.StatusOK)
		return
	}
	if u.answer == nil && u.refused == nil {
		u.call.media = u.media
		if u.answer, u.refused = s.handlers[u.method.ID](u.call); u.refused == nil {
			s.conform(u.method, u.answer)
		}
	}
	if f != nil && f.Lost {
		u.gone = true // who asks again learns nothing
		hangUp()
	}
	s.reply(w, u.answer, u.refused)
}
