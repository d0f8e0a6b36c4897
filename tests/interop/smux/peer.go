package main

// Echo over smux v1: as a server (accepts streams on a TCP address), or as a client.
import (
	"bytes"
	"fmt"
	"io"
	"math/rand"
	"net"
	"os"
	"sync"

	"github.com/xtaci/smux"
)

func config() *smux.Config {
	c := smux.DefaultConfig()
	c.Version = 1
	c.KeepAliveDisabled = true
	return c
}

func server(addr string) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		panic(err)
	}
	fmt.Println(l.Addr().String())
	c, _ := l.Accept()
	s, err := smux.Server(c, config())
	if err != nil {
		panic(err)
	}
	for {
		st, err := s.AcceptStream()
		if err != nil {
			fmt.Println("end", err)
			return
		}
		go func() { io.Copy(st, st); st.Close() }()
	}
}

func client(addr string) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		panic(err)
	}
	s, err := smux.Client(c, config())
	if err != nil {
		panic(err)
	}
	var wg sync.WaitGroup
	for i := 0; i < 50; i++ {
		wg.Add(1)
		go func(i int) {
			defer wg.Done()
			st, err := s.OpenStream()
			if err != nil {
				panic(err)
			}
			data := make([]byte, 100000+i)
			rand.New(rand.NewSource(int64(i))).Read(data)
			go st.Write(data)
			got := make([]byte, len(data))
			if _, err := io.ReadFull(st, got); err != nil || !bytes.Equal(got, data) {
				panic(fmt.Sprint("stream ", st.ID(), err))
			}
			st.Close()
		}(i)
	}
	wg.Wait()
	fmt.Println("ok", s.NumStreams())
	s.Close()
}

func main() {
	if os.Args[1] == "server" {
		server(os.Args[2])
	} else {
		client(os.Args[2])
	}
}
