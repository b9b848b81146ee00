# Manual pages as nixpkgs makes them: paths put into the text, then compressed.
manual=$out/share/man/man1
mkdir -p "$manual"
number=0
for page in "$coreutils"/share/man/man1/*.1.gz; do
  number=$((number + 1))
  [ "$number" -le 40 ] || break
  name=${page##*/} name=${name%.gz}
  gzip -dc "$page" > "$manual/$name"
  printf '.SH FILES\n.nf\n%s/lib\n.fi\n' "$replaced" >> "$manual/$name"
  # Half of them name what is rewritten as well: itself, and curl.
  [ $((number % 2)) -eq 0 ] || printf '%s\n%s/bin/curl\n' "$manual/$name" "$curl" >> "$manual/$name"
  gzip -9n "$manual/$name"
done
