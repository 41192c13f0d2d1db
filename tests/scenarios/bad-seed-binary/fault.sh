mcopy -o -i "$SEED" "$FIXTURES/bad/binary-junk.txt" ::setup.txt
