package gpu

import (
	"github.com/gpupeft/gpupeft/shaders"
)

// A stream is the program of an attention kernel for adapters without real workgroup
// memory, whose lanes have rows (or, for the gradients of keys and values, keys) to
// themselves: everything of them stays in registers, nothing is handed from lane to lane,
// and what a lane loads of four keys (or rows) serves all it has. It does the work of
// the kernel in shaders/ that it is named after, with the same operands and params.
//
// The text is generated, as that of a tile, and for the same reasons.
type stream struct {
	name, entry string
	consts      headsConsts
	cols        int // vec4s in a head
	own         int // rows or keys of a lane
}

// streamLanes is what a software adapter runs at a time.
const streamLanes = 8

// fewRows are too few for streams: lanes would be idle that can share the work of a row.
const fewRows = 16

// streamRows is the number of rows or keys that a lane has to itself; 0 where the lanes of a
// row share the work. It is as many as a compiler is done with in a second or two: that
// grows faster than the text, so that long heads are not for streams.
func (u *tuning) streamRows(s streaming) int {
	const vectors, longest, most = 16, 8, 8
	if u.tiles != TilesRegister || s.Dim%4 != 0 || s.rows() < fewRows || s.cols > longest {
		return 0
	}
	return min(most, vectors/s.cols)
}

// source implements program.
func (s stream) source() (KernelSource, error) {
	var g generator
	head, err := preamble(s.consts)
	if err != nil {
		return KernelSource{}, err
	}
	g.WriteString(head)
	for _, name := range []string{"elem4", "heads", "streams"} {
		text, err := shaders.Source(name)
		if err != nil {
			return KernelSource{}, err
		}
		g.WriteString(text)
	}
	switch s.name {
	case "attention":
		g.streamForward(s)
	case "attention_dq":
		g.streamDQ(s)
	default:
		g.streamDKV(s)
	}
	return KernelSource{Label: s.name + "." + s.entry + " streams", WGSL: g.String(), Entry: s.entry}, nil
}

// streamMain begins the entry point; storage are its variables in the order of their
// bindings, of which 6 and 7 belong to heads.wgsl. So many of the first are written.
func (g *generator) streamMain(s stream, written int, storage ...string) {
	for i, name := range storage {
		access, kind, at := "read", "vec4<f32>", i
		if i < written {
			access = "read_write"
		}
		if name == "stats" {
			kind = "vec2<f32>"
		}
		if at > 5 {
			at += 2
		}
		g.line("@group(0) @binding(%d) var<storage, %s> %s: array<%s>;", at, access, name, kind)
	}
	g.line("@compute @workgroup_size(%d)", streamLanes)
	g.line("fn %s(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {", s.entry)
	g.line("let n = p.start + group.y * groups.x + group.x;")
	g.line("if (n >= p.end) { return; }")
	g.line("let b = block_of(n);")
	g.line("let own = b.first + lane * %du;", s.own)
}

// each calls f for every row or key of a lane, with the name of the vector of four that
// it is in, and its component there.
func (s stream) each(f func(i, four int, component byte)) {
	for i := range s.own {
		f(i, i/4, components[i%4])
	}
}

// ownRows declares the lane's rows: heads0.x, pos0.x, segments0.x belong to the first.
func (g *generator) ownRows(s stream) {
	for i := range (s.own + 3) / 4 {
		g.line("let rows%d = min(own + %du + COUNT, vec4<u32>(p.queries * share() - 1u));", i, 4*i)
		g.line("let heads%d = rows_at(b, rows%d);", i, i)
		g.line("let pos%d = positions(rows%d);", i, i)
		g.line("let segments%d = segments_at(b, pos%d);", i, i)
	}
}

// ownValues loads the head of each row or key that is the lane's own.
func (g *generator) ownValues(s stream, name, from, places string) {
	s.each(func(i, four int, component byte) {
		for c := range s.cols {
			g.line("let %s%d_%d = %s[%s%d.%c * COLS + %du];", name, i, c, from, places, four, component, c)
		}
	})
}

// sums declares sums of the size of a head for each row or key of the lane.
func (g *generator) sums(s stream, name string) {
	for i := range s.own {
		for c := range s.cols {
			g.line("var %s%d_%d = vec4<f32>();", name, i, c)
		}
	}
}

// keyLoop begins the loop over the keys that the rows of the block may see, four at a time.
func (g *generator) keyLoop() {
	g.line("let tiles = tiles_for_rows(b);")
	g.line("for (var i = 0u; i < tiles.count; i++) {")
	g.line("let end = min(tile_start(tiles, i) + TILE, tiles.limit);")
	g.line("for (var j = tile_start(tiles, i); j < end; j += 4u) {")
	g.line("let keys = j + COUNT;")
	g.line("let places = min(keys, vec4<u32>(tiles.limit - 1u));")
	g.line("let key_segments = segments_at(b, places);")
	g.line("let at = keys_at(b, places) * COLS;")
}

// products declares, for each of the lane's own, its products with four others, which it
// loads. They are formed in the order of attention_d.wgsl.
func (g *generator) products(s stream, name, own, other string) {
	for i := range s.own {
		g.line("var %s%d = vec4<f32>();", name, i)
	}
	for c := range s.cols {
		g.quad(other, c)
		for i := range s.own {
			g.line("%s%d += %s%d_%d * %s%d;", name, i, own, i, c, other, c)
		}
	}
}

// quad loads column c of the heads of four others.
func (g *generator) quad(other string, c int) {
	g.line("let %s%d = mat4x4<f32>(%s[at.x + %du], %s[at.y + %du], %s[at.z + %du], %s[at.w + %du]);", other, c, other, c, other, c, other, c, other, c)
}

// streamForward is attention.wgsl.
func (g *generator) streamForward(s stream) {
	g.streamMain(s, 2, "z", "stats", "q", "k", "v")
	g.ownRows(s)
	g.ownValues(s, "q", "q", "heads")
	g.sums(s, "z")
	for i := range s.own {
		g.line("var top%d = LOW;", i)
		g.line("var sum%d = 0.0;", i)
	}
	g.keyLoop()
	g.products(s, "s", "q", "k")
	s.each(func(i, four int, component byte) {
		g.line("let seen%d = select(vec4<f32>(MASKED), cap(p.scale * s%d), visible(keys, key_segments, vec4<u32>(pos%d.%c), vec4<i32>(segments%d.%c)));", i, i, four, component, four, component)
		g.line("let before%d = top%d;", i, i)
		g.line("top%d = max(top%d, largest(seen%d));", i, i, i)
		g.line("let w%d = exp(seen%d - top%d);", i, i, i)
		g.line("let fade%d = exp(before%d - top%d);", i, i, i)
		g.line("sum%d = sum%d * fade%d + total(w%d);", i, i, i, i)
	})
	for c := range s.cols {
		g.quad("v", c)
		for i := range s.own {
			g.line("z%d_%d = z%d_%d * fade%d + v%d * w%d;", i, c, i, c, i, c, i)
		}
	}
	g.line("}")
	g.line("}")
	s.each(func(i, four int, component byte) {
		g.line("if (own + %du < p.queries * share()) {", i)
		g.line("let none = sum%d < 0.5;", i) // the weight of the maximum is 1
		g.line("let part = select(1.0 / sum%d, 0.0, none);", i)
		g.line("stats[heads%d.%c] = vec2<f32>(select(top%d + log(sum%d), -p.infinity, none), 0.0);", four, component, i, i)
		for c := range s.cols {
			g.line("z[heads%d.%c * COLS + %du] = part * z%d_%d;", four, component, c, i, c)
		}
		g.line("}")
	})
	g.line("}")
}

// streamDQ is attention_dq.wgsl.
func (g *generator) streamDQ(s stream) {
	g.streamMain(s, 1, "dq", "stats", "q", "k", "v", "dz")
	g.ownRows(s)
	g.ownValues(s, "q", "q", "heads")
	g.ownValues(s, "dz", "dz", "heads")
	s.each(func(i, four int, component byte) {
		g.line("let of%d = stats[heads%d.%c];", i, four, component)
	})
	g.sums(s, "d")
	g.keyLoop()
	g.products(s, "s", "q", "k")
	g.products(s, "w", "dz", "v")
	s.each(func(i, four int, component byte) {
		g.line("let g%d = terms(s%d, w%d, vec4<f32>(of%d.x), vec4<f32>(of%d.y), visible(keys, key_segments, vec4<u32>(pos%d.%c), vec4<i32>(segments%d.%c))).g;", i, i, i, i, i, four, component, four, component)
	})
	for c := range s.cols {
		for i := range s.own {
			g.line("d%d_%d += k%d * g%d;", i, c, c, i)
		}
	}
	g.line("}")
	g.line("}")
	s.each(func(i, four int, component byte) {
		g.line("if (own + %du < p.queries * share()) {", i)
		for c := range s.cols {
			g.line("dq[heads%d.%c * COLS + %du] = d%d_%d;", four, component, c, i, c)
		}
		g.line("}")
	})
	g.line("}")
}

// streamDKV is attention_dkv.wgsl.
func (g *generator) streamDKV(s stream) {
	g.streamMain(s, 2, "dk", "dv", "stats", "q", "k", "v", "dz")
	for i := range (s.own + 3) / 4 {
		g.line("let keys%d = min(own + %du + COUNT, vec4<u32>(p.keys - 1u));", i, 4*i)
		g.line("let places%d = keys_at(b, keys%d);", i, i)
		g.line("let key_segments%d = segments_at(b, keys%d);", i, i)
	}
	g.ownValues(s, "k", "k", "places")
	g.ownValues(s, "v", "v", "places")
	g.sums(s, "dk")
	g.sums(s, "dv")
	g.line("let range = rows_for_keys(b);")
	g.line("for (var j = range.x; j < range.y; j += 4u) {")
	g.line("let rows = j + COUNT;")
	g.line("let inside = min(rows, vec4<u32>(range.y - 1u));")
	g.line("let heads = rows_at(b, inside);")
	g.line("let pos = positions(inside);")
	g.line("let segments = segments_at(b, pos);")
	for i, c := range components {
		g.line("let of%d = stats[heads.%c];", i, c)
	}
	g.line("let lse = vec4<f32>(of0.x, of1.x, of2.x, of3.x);")
	g.line("let d = vec4<f32>(of0.y, of1.y, of2.y, of3.y);")
	g.line("let at = heads * COLS;")
	g.products(s, "s", "k", "q")
	g.products(s, "w", "v", "dz")
	s.each(func(i, four int, component byte) {
		g.line("let sees%d = (rows < vec4<u32>(range.y)) & visible(vec4<u32>(keys%d.%c), vec4<i32>(key_segments%d.%c), pos, segments);", i, four, component, four, component)
		g.line("let t%d = terms(s%d, w%d, lse, d, sees%d);", i, i, i, i)
	})
	for c := range s.cols {
		for i := range s.own {
			g.line("dv%d_%d += dz%d * t%d.w;", i, c, c, i)
			g.line("dk%d_%d += q%d * t%d.g;", i, c, c, i)
		}
	}
	g.line("}")
	s.each(func(i, four int, component byte) {
		g.line("if (own + %du < p.keys) {", i)
		g.line("let at = places%d.%c * COLS;", four, component)
		for _, name := range []string{"dk", "dv"} {
			for c := range s.cols {
				g.line("if (p.accumulate != 0u) { %s%d_%d += %s[at + %du]; }", name, i, c, name, c)
				g.line("%s[at + %du] = %s%d_%d;", name, c, name, i, c)
			}
		}
		g.line("}")
	})
	g.line("}")
}
