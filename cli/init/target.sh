#!/bin/sh
# A target in shell: "trains" for $HYPERDOCK_BUDGET epochs, and goes on where it was.
# Replace what is between the lines by your own program. Params are in HP_NAME, and in
# $HYPERDOCK_PARAMS_FILE as JSON; ${HP_MOMENTUM:-} is empty when the config has none.
set -eu
state=$HYPERDOCK_WORK_DIR/epoch
epoch=0
[ ! -f "$state" ] || epoch=$(cat "$state")
budget=${HYPERDOCK_BUDGET%.*}
while [ "$epoch" -lt "$budget" ]; do
    epoch=$((epoch + 1))
    # ---------------------------------------------------------------------------------------
    loss=$(awk -v rate="$HP_RATE" -v width="$HP_WIDTH" -v momentum="${HP_MOMENTUM:-0}" -v epoch="$epoch" 'BEGIN {
        a = log(rate / 0.02) / 4; b = log(width / 100) / 3; c = momentum - 0.8
        printf "%.9g", 0.1 + a * a + b * b + 0.2 * c * c + 1 / (1 + epoch) }')
    # ---------------------------------------------------------------------------------------
    echo "epoch $epoch: loss $loss"
    echo "{\"step\": $epoch, \"loss\": $loss}" >>"$HYPERDOCK_DIR/metrics.jsonl" # for early stopping, and for people
    echo "$epoch" >"$state.new" && mv "$state.new" "$state"                     # whole, or not at all
    echo "$loss" >"$HYPERDOCK_WORK_DIR/loss"
    [ ! -e "$HYPERDOCK_DIR/control/stop" ] || break # asked to stop: what there is counts
done
echo "{\"loss\": $(cat "$HYPERDOCK_WORK_DIR/loss"), \"epochs\": $epoch}" >"$HYPERDOCK_DIR/loss.json"
