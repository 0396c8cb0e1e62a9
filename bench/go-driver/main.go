// franz-go driver: Client.Produce with a promise per record; PollFetches with
// ConsumePartitions (direct assignment).
package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/bits"
	"os"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

type hist struct {
	b   [64 * 64]atomic.Uint64
	max atomic.Uint64
}

func (h *hist) record(ns uint64) {
	if ns < 64 {
		ns = 64
	}
	e := uint(63 - bits.LeadingZeros64(ns))
	h.b[e*64+uint((ns>>(e-6))&63)].Add(1)
	for {
		m := h.max.Load()
		if ns <= m || h.max.CompareAndSwap(m, ns) {
			return
		}
	}
}

func (h *hist) q(q float64) float64 {
	var total, seen uint64
	for i := range h.b {
		total += h.b[i].Load()
	}
	if total == 0 {
		return 0
	}
	want := uint64(float64(total)*q + 0.999999)
	for i := range h.b {
		seen += h.b[i].Load()
		if seen >= want {
			e, s := uint(i/64), uint64(i%64)
			if e < 6 {
				e = 6
			}
			return float64((uint64(1)<<e)+(s<<(e-6))) / 1e6
		}
	}
	return float64(h.max.Load()) / 1e6
}

var args = map[string]string{}

func get(k, d string) string {
	if v, ok := args[k]; ok {
		return v
	}
	return d
}

func num(k string, d int) int {
	v, err := strconv.Atoi(get(k, strconv.Itoa(d)))
	if err != nil {
		panic(err)
	}
	return v
}

func payloads() [][]byte {
	d, err := os.ReadFile(get("payload-file", ""))
	if err != nil {
		panic(err)
	}
	var out [][]byte
	for _, l := range bytes.Split(d, []byte("\n")) {
		if len(l) > 0 {
			out = append(out, l)
		}
	}
	return out
}

// keys makes as many keys as payloads, the same ones as the Rust drivers.
func keys(count, size int) [][]byte {
	if size == 0 {
		return nil
	}
	x := uint64(0x2545F4914F6CDD1D)
	out := make([][]byte, count)
	for i := range out {
		var key []byte
		for len(key) < size {
			x ^= x << 13
			x ^= x >> 7
			x ^= x << 17
			key = fmt.Appendf(key, "%016x", x)
		}
		out[i] = key[:size]
	}
	return out
}

func report(op string, records, nbytes, errs uint64, secs float64, h *hist) {
	var r syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	t := func(t syscall.Timeval) float64 { return float64(t.Sec) + float64(t.Usec)/1e6 }
	m := map[string]any{"client": "franz-go", "op": op, "records": records, "bytes": nbytes, "errors": errs,
		"elapsed_s": secs, "records_per_s": float64(records) / secs, "mb_per_s": float64(nbytes) / 1e6 / secs,
		"user_s": t(r.Utime), "sys_s": t(r.Stime), "max_rss_mib": float64(r.Maxrss) / 1024}
	if h != nil {
		m["p50_ms"], m["p99_ms"], m["p999_ms"], m["max_ms"] = h.q(.5), h.q(.99), h.q(.999), float64(h.max.Load())/1e6
	}
	b, _ := json.Marshal(m)
	fmt.Println(string(b))
}

func produce() {
	pool := payloads()
	keyPool := keys(len(pool), num("key-bytes", 0))
	n := num("num-records", 1000000)
	rate := num("throughput", 0)
	mask := 7
	if rate > 0 {
		mask = 0
	}
	acks := map[string]kgo.Acks{"all": kgo.AllISRAcks(), "1": kgo.LeaderAck(), "0": kgo.NoAck()}[get("acks", "all")]
	codec := map[string]kgo.CompressionCodec{"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression()}[get("compression", "none")]
	opts := []kgo.Opt{
		kgo.SeedBrokers(get("bootstrap", "127.0.0.1:9092")),
		kgo.DefaultProduceTopic(get("topic", "bench")),
		kgo.RequiredAcks(acks),
		kgo.ProducerBatchCompression(codec),
		kgo.ProducerLinger(time.Duration(num("linger-ms", 5)) * time.Millisecond),
		kgo.ProducerBatchMaxBytes(int32(num("batch-size", 1000000))),
		kgo.MaxBufferedRecords(num("buffer-records", 500000)),
		kgo.MaxBufferedBytes(num("buffer-memory", 64<<20)),
	}
	if get("idempotence", "true") != "true" {
		opts = append(opts, kgo.DisableIdempotentWrite(), kgo.MaxProduceRequestsInflightPerBroker(num("max-in-flight", 5)))
	}
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		panic(err)
	}
	ctx := context.Background()
	var acked, errs atomic.Uint64
	h := new(hist)
	plain := func(_ *kgo.Record, err error) {
		if err != nil {
			errs.Add(1)
		} else {
			acked.Add(1)
		}
	}
	// One record first: connections, metadata and the producer id are no part
	// of what is measured.
	if err := cl.ProduceSync(ctx, &kgo.Record{Value: pool[0]}).FirstErr(); err != nil {
		panic(err)
	}
	var nbytes uint64
	start := time.Now()
	j := 0
	for i := 0; i < n; i++ {
		if rate > 0 {
			if d := time.Until(start.Add(time.Duration(i) * time.Second / time.Duration(rate))); d > 0 {
				time.Sleep(d)
			}
		}
		r := &kgo.Record{Value: pool[j]}
		if keyPool != nil {
			r.Key = keyPool[j]
		}
		if j++; j == len(pool) {
			j = 0
		}
		cb := plain
		if i&mask == 0 {
			t := time.Now()
			cb = func(r *kgo.Record, err error) {
				h.record(uint64(time.Since(t)))
				plain(r, err)
			}
		}
		cl.Produce(ctx, r, cb)
		nbytes += uint64(len(r.Key) + len(r.Value))
	}
	if err := cl.Flush(ctx); err != nil {
		panic(err)
	}
	report("produce", acked.Load(), nbytes, errs.Load(), time.Since(start).Seconds(), h)
}

func consume() {
	n := uint64(num("num-records", 1000000))
	parts := map[int32]kgo.Offset{}
	for p := 0; p < num("partitions", 6); p++ {
		parts[int32(p)] = kgo.NewOffset().AtStart()
	}
	start := time.Now()
	cl, err := kgo.NewClient(
		kgo.SeedBrokers(get("bootstrap", "127.0.0.1:9092")),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{get("topic", "bench"): parts}),
		kgo.FetchMaxBytes(52428800),
	)
	slow := time.Duration(num("slow-us", 0)) * time.Microsecond
	if err != nil {
		panic(err)
	}
	var got, nbytes, errs uint64
	// Read from the start, offsets are 0, 1, 2 and so on in each partition: any other came twice, or too early.
	next := make([]int64, len(parts))
	for got < n {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		var fs kgo.Fetches
		if slow > 0 {
			fs = cl.PollRecords(ctx, 500)
		} else {
			fs = cl.PollFetches(ctx)
		}
		if ctx.Err() != nil {
			cancel()
			break
		}
		cancel()
		fs.EachError(func(_ string, _ int32, err error) { errs++; fmt.Fprintln(os.Stderr, err) })
		fs.EachRecord(func(r *kgo.Record) {
			nbytes += uint64(len(r.Key) + len(r.Value))
			if r.Offset != next[r.Partition] {
				errs++
			}
			next[r.Partition] = r.Offset + 1
			got++
		})
		time.Sleep(slow)
	}
	report("consume", got, nbytes, errs, time.Since(start).Seconds(), nil)
}

// latency sends at a rate, each record alone, and reads them: both ends are this client's.
func latency() {
	ctx := context.Background()
	n, topic := num("num-records", 1000), get("topic", "bench")
	p, err := kgo.NewClient(kgo.SeedBrokers(get("bootstrap", "")), kgo.DefaultProduceTopic(topic), kgo.ProducerLinger(0),
		kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		panic(err)
	}
	if err := p.ProduceSync(ctx, &kgo.Record{Value: make([]byte, 100)}).FirstErr(); err != nil {
		panic(err)
	}
	c, err := kgo.NewClient(kgo.SeedBrokers(get("bootstrap", "")),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().AtStart()}}))
	if err != nil {
		panic(err)
	}
	var next int64
	var errs uint64
	see := func(r *kgo.Record) {
		if r.Offset != next {
			errs++
		}
		next = r.Offset + 1
	}
	c.PollFetches(ctx).EachRecord(see)
	start, h := time.Now(), new(hist)
	rate := time.Duration(num("throughput", 1000))
	go func() {
		for i := 0; i < n; i++ {
			if d := time.Until(start.Add(time.Duration(i) * time.Second / rate)); d > 0 {
				time.Sleep(d)
			}
			v := make([]byte, 100)
			binary.BigEndian.PutUint64(v, uint64(time.Since(start)))
			p.Produce(ctx, &kgo.Record{Value: v}, nil)
		}
	}()
	for got := 0; got < n; {
		c.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
			h.record(uint64(time.Since(start)) - binary.BigEndian.Uint64(r.Value))
			see(r)
			got++
		})
	}
	report("latency", uint64(n), uint64(n)*100, errs, time.Since(start).Seconds(), h)
}

func idle() {
	parts := map[int32]kgo.Offset{}
	for p := 0; p < num("partitions", 6); p++ {
		parts[int32(p)] = kgo.NewOffset().AtEnd()
	}
	start, seconds := time.Now(), num("num-records", 10)
	cl, err := kgo.NewClient(kgo.SeedBrokers(get("bootstrap", "")),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{get("topic", "bench"): parts}))
	if err != nil {
		panic(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(seconds)*time.Second)
	defer cancel()
	cl.PollFetches(ctx)
	report("idle", uint64(seconds), 0, 0, time.Since(start).Seconds(), nil)
}

func main() {
	for i := 2; i+1 < len(os.Args); i += 2 {
		args[os.Args[i][2:]] = os.Args[i+1]
	}
	switch os.Args[1] {
	case "produce":
		produce()
	case "consume":
		consume()
	case "latency":
		latency()
	case "idle":
		idle()
	default:
		panic(os.Args[1])
	}
}
